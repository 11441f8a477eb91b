# One environment. Which one: -var-file=environments/NAME/terraform.tfvars (docs/terraform.md).

locals {
  name = "sightglass-${var.environment}"
}

module "networking" {
  source             = "./modules/networking"
  name               = local.name
  cidr               = var.cidr
  zones              = var.zones
  single_nat_gateway = !var.protected
}

module "kubernetes" {
  source              = "./modules/kubernetes"
  name                = local.name
  kubernetes_version  = var.kubernetes_version
  subnet_ids          = module.networking.private_subnet_ids
  cidr                = var.cidr
  admins              = var.admins
  api_allowed_cidrs   = var.api_allowed_cidrs
  node_groups         = var.node_groups
  log_days            = var.protected ? 365 : 30
  deletion_protection = var.protected
}

module "postgresql" {
  source                   = "./modules/postgresql"
  count                    = var.postgresql == null ? 0 : 1
  name                     = local.name
  vpc_id                   = module.networking.vpc_id
  subnet_ids               = module.networking.data_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  major_version            = var.postgresql.major_version
  instance_class           = var.postgresql.instance_class
  storage_gb               = var.postgresql.storage_gb
  backup_days              = var.postgresql.backup_days
  multi_az                 = var.protected
  deletion_protection      = var.protected
}

module "redis" {
  source                   = "./modules/redis"
  count                    = var.redis == null ? 0 : 1
  name                     = local.name
  vpc_id                   = module.networking.vpc_id
  subnet_ids               = module.networking.data_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  node_type                = var.redis.node_type
  nodes                    = var.redis.nodes
  snapshot_days            = var.redis.snapshot_days
}
