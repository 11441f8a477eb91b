variable "name" {
  description = "The instance's name."
  type        = string
}

variable "vpc_id" {
  description = "The network it is in."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets without a way out, of two zones or more."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids: expected two or more."
  }
}

variable "client_security_group_id" {
  description = "The group of those that may connect."
  type        = string
}

variable "major_version" {
  description = "Major version of PostgreSQL."
  type        = number

  validation {
    condition     = var.major_version >= 15 && var.major_version <= 18
    error_message = "major_version: expected 15 to 18."
  }
}

variable "instance_class" {
  description = "Size of the instance."
  type        = string

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "instance_class: expected one of RDS, such as db.t4g.medium."
  }
}

variable "storage_gb" {
  description = "Storage at first; it grows by itself to four times as much."
  type        = number

  validation {
    condition     = var.storage_gb >= 20 && var.storage_gb <= 16000
    error_message = "storage_gb: expected 20 to 16000."
  }
}

variable "multi_az" {
  description = "A standby in another zone."
  type        = bool
}

variable "backup_days" {
  description = "Days for which a point in time can be brought back."
  type        = number

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days: expected 1 to 35."
  }
}

variable "deletion_protection" {
  description = "Whether it refuses to be deleted."
  type        = bool
}
