variable "kubeconfig" {
  description = "The file that says where the cluster is."
  type        = string
  default     = "~/.kube/config"
}

variable "context" {
  description = "Which of that file's clusters; null: its current one."
  type        = string
  default     = null
}

variable "namespace" {
  description = "The installation's own."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace: expected a DNS label."
  }
}

variable "manifests" {
  description = "The file that helm template has made."
  type        = string

  validation {
    condition     = fileexists(var.manifests) && !can(regex("(?m)^kind: Secret$", file(var.manifests)))
    error_message = "manifests: expected a file, without a Secret (the state would have it): name them in secrets."
  }
}

variable "secrets" {
  description = "Secrets by name: the ClusterSecretStore of External Secrets, the key there, the Secret's type, and the property there of each of its keys; {}: as they are there."
  type = map(object({
    store = string
    key   = string
    type  = optional(string, "Opaque")
    keys  = optional(map(string), {})
  }))
  default = {}

  validation {
    condition     = alltrue([for secret in var.secrets : secret.key != ""])
    error_message = "secrets: expected a key for each."
  }
}

variable "wait" {
  description = "Whether to wait until what was changed is ready."
  type        = bool
  default     = true
}
