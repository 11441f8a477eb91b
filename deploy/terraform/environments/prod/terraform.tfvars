environment        = "prod"
account_id         = "000000000000"
region             = "eu-central-1"
cidr               = "10.30.0.0/16"
kubernetes_version = "1.33"
admins             = ["arn:aws:iam::000000000000:role/admin"]
node_groups = {
  base = { instance_types = ["m7i.xlarge"], least = 3, most = 10 }
  jobs = { instance_types = ["m7i.large", "m6i.large", "m5.large"], least = 1, most = 10, spot = true }
}
postgresql = { instance_class = "db.m7g.large", storage_gb = 100, backup_days = 14 }
redis      = { node_type = "cache.m7g.large", nodes = 3, snapshot_days = 7 }
protected  = true
