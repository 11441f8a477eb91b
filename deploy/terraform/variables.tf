variable "environment" {
  description = "Which one it is."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment: expected dev, staging or prod."
  }
}

variable "account_id" {
  description = "The AWS account of the environment; in another one nothing is done."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: expected twelve digits."
  }
}

variable "region" {
  description = "The region it is in."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: expected one of AWS, such as eu-central-1."
  }
}

variable "tags" {
  description = "Tags that everything has beside Application, Environment and ManagedBy."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.tags) : !startswith(name, "aws:")])
    error_message = "tags: expected no names that begin with aws:."
  }
}

variable "cidr" {
  description = "Addresses of the network, an IPv4 range of /16 to /20."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr))
    error_message = "cidr: expected an IPv4 range, such as 10.0.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones it spans, 2 to 4."
  type        = number
  default     = 3

  validation {
    condition     = var.zones >= 2 && var.zones <= 4
    error_message = "zones: expected 2, 3 or 4."
  }
}

variable "kubernetes_version" {
  description = "Version of Kubernetes."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version: expected 1.30 or later, such as 1.33."
  }
}

variable "admins" {
  description = "ARNs of the IAM roles that may do everything in the cluster."
  type        = set(string)

  validation {
    condition     = length(var.admins) > 0
    error_message = "admins: expected ARNs of IAM roles, one or more."
  }
}

variable "api_allowed_cidrs" {
  description = "Ranges from outside that reach the cluster's API; none: only the network itself does."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.api_allowed_cidrs, "0.0.0.0/0")
    error_message = "api_allowed_cidrs: expected IPv4 ranges, none of them everybody's."
  }
}

variable "node_groups" {
  description = "Nodes by the name of their group."
  type = map(object({
    instance_types = list(string)
    least          = number
    most           = number
    spot           = optional(bool, false)
    disk_gb        = optional(number, 50)
  }))

  validation {
    condition     = length(var.node_groups) > 0
    error_message = "node_groups: expected one or more."
  }
}

variable "postgresql" {
  description = "The database of jobs; null: there is none."
  type = object({
    major_version  = optional(number, 17)
    instance_class = string
    storage_gb     = number
    backup_days    = number
  })

  validation {
    condition     = var.postgresql == null || try(var.postgresql.backup_days >= 1, false)
    error_message = "postgresql: expected null, or backup_days of 1 or more."
  }
}

variable "redis" {
  description = "The queue; null: there is none."
  type = object({
    node_type     = string
    nodes         = number
    snapshot_days = number
  })

  validation {
    condition     = var.redis == null || try(var.redis.nodes >= 1, false)
    error_message = "redis: expected null, or one node or more."
  }
}

variable "protected" {
  description = "Whether cluster and database refuse to be deleted, and every zone has its own standby and way out."
  type        = bool
}
