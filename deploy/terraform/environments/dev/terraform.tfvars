environment        = "dev"
account_id         = "000000000000"
region             = "eu-central-1"
cidr               = "10.10.0.0/16"
zones              = 2
kubernetes_version = "1.33"
admins             = ["arn:aws:iam::000000000000:role/admin"]
api_allowed_cidrs  = ["192.0.2.0/24"]
node_groups        = { base = { instance_types = ["t3.large"], least = 2, most = 4 } }
postgresql         = null
redis              = null
protected          = false
