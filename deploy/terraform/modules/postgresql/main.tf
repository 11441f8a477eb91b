# Jobs and their queue. The password is made and kept by Secrets Manager: no state has it.

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-postgresql"
  description = "PostgreSQL, for the nodes of the cluster alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = "postgres${var.major_version}"

  # Another major version waits for the maintenance window, and until then the former group is in use.
  skip_destroy = true

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier                  = var.name
  engine                      = "postgres"
  engine_version              = tostring(var.major_version)
  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = true
  instance_class              = var.instance_class
  allocated_storage           = var.storage_gb
  max_allocated_storage       = 4 * var.storage_gb
  storage_type                = "gp3"
  storage_encrypted           = true
  db_name                     = "sightglass"
  username                    = "sightglass"
  manage_master_user_password = true

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  publicly_accessible    = false
  multi_az               = var.multi_az

  backup_retention_period = var.backup_days
  copy_tags_to_snapshot   = true
  deletion_protection     = var.deletion_protection

  # Protection is taken off just before a deletion: what is left then does not go by it.
  delete_automated_backups  = false
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-last"

  performance_insights_enabled    = true
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
}
