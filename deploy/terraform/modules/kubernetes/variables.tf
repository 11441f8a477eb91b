variable "name" {
  description = "The cluster's name."
  type        = string
}

variable "kubernetes_version" {
  description = "Version of Kubernetes, 1.30 or later (preStop's sleep)."
  type        = string

  validation {
    condition     = can(regex("^1\\.(3[0-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: expected 1.30 or later, such as 1.33."
  }
}

variable "subnet_ids" {
  description = "Private subnets, of two zones or more."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids: expected two or more."
  }
}

variable "cidr" {
  description = "Addresses of the network, which reach the cluster's API."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr))
    error_message = "cidr: expected an IPv4 range, such as 10.0.0.0/16."
  }
}

variable "admins" {
  description = "ARNs of the IAM roles that may do everything in the cluster."
  type        = set(string)

  validation {
    condition     = length(var.admins) > 0 && alltrue([for arn in var.admins : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", arn))])
    error_message = "admins: expected ARNs of IAM roles, one or more."
  }
}

variable "api_allowed_cidrs" {
  description = "Ranges from outside that reach the cluster's API; none: only the network itself does."
  type        = list(string)

  validation {
    condition     = alltrue([for range in var.api_allowed_cidrs : can(cidrnetmask(range)) && !endswith(range, "/0")])
    error_message = "api_allowed_cidrs: expected IPv4 ranges, none of them everybody's."
  }
}

variable "node_groups" {
  description = "Nodes by the name of their group; spot ones have a taint that jobs.tolerations of the chart names."
  type = map(object({
    instance_types = list(string)
    least          = number
    most           = number
    spot           = optional(bool, false)
    disk_gb        = optional(number, 50)
  }))

  validation {
    condition     = anytrue([for group in var.node_groups : !group.spot && group.least >= 2])
    error_message = "node_groups: expected a group that is not spot, with two nodes or more."
  }

  validation {
    condition     = alltrue([for group in var.node_groups : group.least <= group.most && group.disk_gb >= 20])
    error_message = "node_groups: expected least <= most, and disk_gb of 20 or more."
  }
}

variable "log_days" {
  description = "Days for which the control plane's log is kept."
  type        = number

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_days)
    error_message = "log_days: expected 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "deletion_protection" {
  description = "Whether the cluster refuses to be deleted."
  type        = bool
}
