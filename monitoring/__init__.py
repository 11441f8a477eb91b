"""The SLO definition and what is generated from it: Prometheus rules, Grafana dashboards, a page of docs."""
