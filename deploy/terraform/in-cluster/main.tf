# What stands in the cluster, from what Helm makes of the chart (docs/terraform.md).

terraform {
  required_version = ">= 1.10"
  required_providers {
    kubectl = {
      source  = "gavinbunney/kubectl"
      version = "~> 1.19"
    }
  }
}

provider "kubectl" {
  load_config_file = true
  config_path      = var.kubeconfig
  config_context   = var.context
}

resource "kubectl_manifest" "namespace" {
  yaml_body = yamlencode({
    apiVersion = "v1"
    kind       = "Namespace"
    metadata = {
      name   = var.namespace
      labels = { for mode in ["enforce", "audit", "warn"] : "pod-security.kubernetes.io/${mode}" => "restricted" }
    }
  })
}

# A Secret is named, and where its values are; External Secrets brings them. No state has them.
resource "kubectl_manifest" "secret" {
  for_each   = var.secrets
  depends_on = [kubectl_manifest.namespace]
  yaml_body = yamlencode({
    apiVersion = "external-secrets.io/v1"
    kind       = "ExternalSecret"
    metadata   = { name = each.key, namespace = var.namespace }
    spec = {
      refreshInterval = "5m" # a password that its store has changed is refused until then
      secretStoreRef  = { kind = "ClusterSecretStore", name = each.value.store }
      dataFrom        = [for key in [each.value.key] : { extract = { key = key } } if length(each.value.keys) == 0]
      data = [
        for key, property in each.value.keys :
        { secretKey = key, remoteRef = { key = each.value.key, property = property } }
      ]
      target = {
        name     = each.key
        template = { type = each.value.type }
      }
    }
  })
}

data "kubectl_file_documents" "chart" {
  content = file(var.manifests)
}

resource "kubectl_manifest" "chart" {
  for_each           = data.kubectl_file_documents.chart.manifests
  depends_on         = [kubectl_manifest.secret]
  yaml_body          = each.value
  override_namespace = var.namespace
  server_side_apply  = true
  wait_for_rollout   = var.wait
  apply_only         = strcontains(each.value, "helm.sh/resource-policy: keep") # as Helm takes it
}
