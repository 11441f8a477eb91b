variable "name" {
  description = "The group's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,38}[a-z0-9]$", var.name))
    error_message = "name: expected 2 to 40 of a-z, 0-9 and -, a letter first."
  }
}

variable "vpc_id" {
  description = "The network it is in."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets without a way out."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "subnet_ids: expected one or more."
  }
}

variable "client_security_group_id" {
  description = "The group of those that may connect."
  type        = string
}

variable "node_type" {
  description = "Size of a node."
  type        = string

  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "node_type: expected one of ElastiCache, such as cache.t4g.small."
  }
}

variable "nodes" {
  description = "One, or as many as there are copies of it, the first included; with two or more another takes over by itself."
  type        = number

  validation {
    condition     = var.nodes >= 1 && var.nodes <= 6
    error_message = "nodes: expected 1 to 6."
  }
}

variable "snapshot_days" {
  description = "Days for which the daily snapshots are kept; 0: none are made."
  type        = number

  validation {
    condition     = var.snapshot_days >= 0 && var.snapshot_days <= 35
    error_message = "snapshot_days: expected 0 to 35."
  }
}
