-- What wrk sends to POST /api/v1/predict.
wrk.method = "POST"
wrk.path = "/api/v1/predict"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"text": "Write to ada@example.org or call +1 212 555 0123."}'
