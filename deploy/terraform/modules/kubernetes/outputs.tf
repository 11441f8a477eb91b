output "name" {
  description = "The cluster's name, for aws eks update-kubeconfig."
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "Address of its API."
  value       = aws_eks_cluster.this.endpoint
}

output "node_security_group_id" {
  description = "The group that its nodes are in."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
