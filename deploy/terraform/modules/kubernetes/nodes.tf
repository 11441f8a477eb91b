# Nodes in private subnets: disks encrypted, IMDSv2 only and out of pods' reach.

resource "aws_iam_role" "node" {
  name               = "${var.name}-node"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each   = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"])
  role       = aws_iam_role.node.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/${each.key}"
}

resource "aws_launch_template" "node" {
  for_each    = var.node_groups
  name_prefix = "${var.name}-${each.key}-"

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted   = true
      volume_type = "gp3"
      volume_size = each.value.disk_gb
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-${each.key}" }
  }
}

resource "aws_eks_node_group" "this" {
  for_each        = var.node_groups
  cluster_name    = aws_eks_cluster.this.name
  version         = aws_eks_cluster.this.version # of its own accord it keeps the one it began with
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnet_ids
  instance_types  = each.value.instance_types
  capacity_type   = each.value.spot ? "SPOT" : "ON_DEMAND"
  labels          = { "sightglass.io/spot" = tostring(each.value.spot) }

  launch_template {
    id      = aws_launch_template.node[each.key].id
    version = aws_launch_template.node[each.key].latest_version
  }

  scaling_config {
    min_size     = each.value.least
    max_size     = each.value.most
    desired_size = each.value.least
  }

  update_config {
    max_unavailable = 1
  }

  dynamic "taint" {
    for_each = each.value.spot ? ["spot"] : []

    content {
      key    = "sightglass.io/spot"
      value  = "true"
      effect = "NO_SCHEDULE"
    }
  }

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # a cluster autoscaler's
  }

  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.network]
}

# Of its own accord an add-on keeps the version it began with.
data "aws_eks_addon_version" "this" {
  for_each           = toset(["vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "metrics-server"])
  addon_name         = each.key
  kubernetes_version = aws_eks_cluster.this.version
}

# What pods need to have addresses, and policies between them to be enforced; the rest needs nodes.
resource "aws_eks_addon" "network" {
  for_each             = { vpc-cni = jsonencode({ enableNetworkPolicy = "true" }), kube-proxy = null }
  cluster_name         = aws_eks_cluster.this.name
  addon_name           = each.key
  addon_version        = data.aws_eks_addon_version.this[each.key].version
  configuration_values = each.value
}

resource "aws_eks_addon" "other" {
  for_each      = toset(["coredns", "eks-pod-identity-agent", "metrics-server"])
  cluster_name  = aws_eks_cluster.this.name
  addon_name    = each.key
  addon_version = data.aws_eks_addon_version.this[each.key].version
  depends_on    = [aws_eks_node_group.this]
}
