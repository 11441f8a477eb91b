variable "name" {
  description = "What its parts are called."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, an IPv4 range of /16 to /20."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr)) && can(regex("/(1[6-9]|20)$", var.cidr))
    error_message = "cidr: expected an IPv4 range of /16 to /20, such as 10.0.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones it spans."
  type        = number

  validation {
    condition     = contains([2, 3, 4], var.zones)
    error_message = "zones: expected 2, 3 or 4."
  }
}

variable "single_nat_gateway" {
  description = "One way out for all zones, which ends with its zone; false: one for each."
  type        = bool
}
