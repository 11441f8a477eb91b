# The commands of every day. Each is a line or two that can be typed by hand; `make help` lists them.
SHELL := /bin/bash
COMPOSE := docker compose --profile '*'
VENV := .venv/bin
# Tests that share a stack stay in one process; what is skipped is said, and which tests took longest.
PYTEST = export PROGRESS_TO=/proc/$$$$/fd/2; $(VENV)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder --durations 10 \
	--hypothesis-profile thorough
export Q ID STATUS SINCE SLOWEST  # as they stand, whatever they quote
DRAW := monitoring/draw

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))  # each that `make help` lists

## The stack
help:  ## this list
	@awk -F ':.*## ' '/^## / {printf "\n%s\n", substr($$0, 4)} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' \
		$(MAKEFILE_LIST)

install: $(VENV)/.installed  ## what is missing here: Docker, and what the tests need; starts nothing
	@scripts/engine.sh

up:  ## install what is missing, start the stack, wait until it is healthy
	@scripts/up.sh

run: up  ## the same as make up

stop:  ## stop the containers and keep them, until make up
	@$(COMPOSE) stop

restart:  ## stop and start every container, or SERVICE=grafana; requests fail meanwhile
	@$(COMPOSE) restart $(SERVICE)

down:  ## stop and remove the containers; data stays in its volumes
	@python3 scripts/down.py

scale:  ## change the number of API replicas without a failed request: make scale N=4
	@python3 scripts/deploy.py --scale-only --replicas='$(N)'

reload:  ## make NGINX read docker/nginx* and SITE_DIR/nginx again; a wrong configuration is refused
	@$(COMPOSE) exec -T nginx sh -c 'cd /etc/sightglass/nginx && sh site.sh && sh reload.sh'

maintenance:  ## answer 503 and a page, or hold requests, or go on: make maintenance on|off [RETRY_AFTER=120] [HOLD=30]
	@$(COMPOSE) exec -T nginx sh /etc/sightglass/nginx/maintenance.sh '$(filter on off,$(MAKECMDGOALS))' '$(RETRY_AFTER)' '$(HOLD)'

.PHONY: on off
on off:
	@:

## What it serves
adopt:  ## look at a project and write the lines of .env that have it served: make adopt DIR=../shop
	@python3 scripts/adopt.py "$(DIR)" --app "$(APP)"

build:  ## the API's image, of this directory or API_CONTEXT; what runs stays
	@scripts/engine.sh && { [ -f .env ] || cp .env.template .env; } && python3 scripts/images.py python \
		&& python3 scripts/build.py

push:  ## send what is built to a registry: make push IMAGE=registry/team/app:1.2 [PLATFORMS=linux/amd64,linux/arm64]
	@python3 scripts/push.py '$(IMAGE)' $(if $(PLATFORMS),--platforms '$(PLATFORMS)')

deploy:  ## replace the replicas without a failed request, by what is built or IMAGE=…; elsewhere: MACHINE=user@host:/dir
	@$(if $(CANARY),python3 scripts/deploy.py --canary='$(CANARY)',$(if $(MACHINE),scripts/over-ssh.sh '$(MACHINE)' \
		make deploy IMAGE='$(IMAGE)' ALLOW_WORSE='$(ALLOW_WORSE)',python3 scripts/deploy.py $(if $(IMAGE),--image '$(IMAGE)') \
		$(if $(ALLOW_WORSE),--allow-worse)))

releases:  ## what was deployed, and can be brought back
	@python3 scripts/releases.py

rollback:  ## bring the release before back, or another, settings included: make rollback TO=3
	@python3 scripts/deploy.py --rollback $(if $(TO),'$(TO)')

evaluate:  ## measure the served model on labelled texts: make evaluate DATA=examples/labelled.jsonl
	@python3 scripts/evaluate.py "$(DATA)"

## What it tells
ps:  ## the containers and how they are
	@$(COMPOSE) ps

logs:  ## follow every container's log
	@$(COMPOSE) logs --follow --tail 100

health-check:  ## what /health and /ready answer through the edge; fails unless both are 200
	@for path in health ready; do $(COMPOSE) exec -T nginx curl -ksS --fail-with-body --max-time 10 -w '\n' \
		--connect-to nginx:443:127.0.0.1:8443 https://nginx/$$path || exit 1; done

metrics:  ## the API's metrics, as Prometheus reads them
	@$(COMPOSE) exec -T nginx curl -fsS --max-time 10 http://api:9464/metrics

query:  ## ask Prometheus: make query Q='sum by (route, status) (http_requests_total)'
	@$(COMPOSE) exec -T prometheus promtool query instant http://127.0.0.1:9090 "$$Q"

find:  ## one request's story: make find ID=…, or STATUS=5xx SINCE=10m, or SLOWEST=10
	@python3 scripts/find.py "ID=$$ID" "STATUS=$$STATUS" "SINCE=$$SINCE" "SLOWEST=$$SLOWEST"

shell:  ## a shell in the API's container, or another's: make shell SERVICE=nginx
	@$(COMPOSE) exec $$([ -t 0 ] || echo -T) $(or $(SERVICE),api) sh

credentials:  ## show the operators' password, Grafana's and the backups'
	@$(COMPOSE) run --rm --no-deps -T --quiet-pull setup sh -c \
		'echo "Prometheus, Alertmanager, VictoriaLogs, Jaeger, MLflow: operator $$(cat /run/operators/password)"; echo "Grafana: $$(cat /run/credentials/grafana_admin_password)"'
	@python3 scripts/backup.py password

doctor:  ## tick the production checklist: certificate, disk, clock, DNS, ports, secrets, alerts (sends one), backup, …
	@python3 scripts/doctor.py

## What it keeps
backup:  ## back up everything that is data, now, encrypted: to BACKUP_DIR, or where RESTIC_REPOSITORY says
	@python3 scripts/backup.py

backups:  ## what is in the repository
	@python3 scripts/backup.py list

restore:  ## on a machine with nothing, bring a backup back: make restore [SNAPSHOT=latest] [FORCE=1]; then make up
	@scripts/engine.sh && python3 scripts/restore.py $(if $(SNAPSHOT),--snapshot '$(SNAPSHOT)') $(if $(FORCE),--force)

rotate:  ## give a secret another value without a failed request: make rotate SECRET=operators; without, list them
	@python3 scripts/rotate.py '$(SECRET)' --file '$(FILE)' --owner '$(OWNER)' $(if $(WITHDRAW),--withdraw)

## Images
images:  ## pull every image, or build its stand-in from OS packages
	@scripts/engine.sh && { [ -f .env ] || cp .env.template .env; } && python3 scripts/images.py

bases: images  ## the images an application's own Dockerfile stands on
	@scripts/bases.sh

sbom:  ## what the image that is served, or IMAGE, is made of, as CycloneDX: .build/sbom.json
	@python3 scripts/sbom.py --output .build/sbom.json $(if $(IMAGE),--image '$(IMAGE)')

scan: $(VENV)/.installed sbom  ## its known vulnerabilities; fails on those with a mend and where it cannot ask; SYSTEM=1 needs grype
	@$(VENV)/python scripts/scan.py .build/sbom.json $(if $(SYSTEM),--system) && touch .build/scanned

## Working on it
dev:  ## the API alone on http://localhost:8000, reloading as you type
	@scripts/engine.sh && { [ -f .env ] || cp .env.template .env; } && python3 scripts/preflight.py && python3 scripts/images.py python \
		&& python3 scripts/build.py && project=$$(python3 scripts/environment.py COMPOSE_PROJECT_NAME) \
		&& docker compose -p "$$project-dev" -f docker-compose.dev.yml up --no-build

draw: $(DRAW)/node_modules/.installed  ## draw dashboards as Grafana would: make draw DASHBOARD=edge PROMETHEUS=URL OUT=DIRECTORY MINUTES=30
	@node $(DRAW)/draw.mjs $(if $(PROMETHEUS),--prometheus $(PROMETHEUS)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(OUT),--out $(OUT)) $(wildcard $(foreach in,* */*,grafana/$(in)/$(or $(DASHBOARD),*).json))

check: $(VENV)/.installed  ## linters and unit tests, in a minute
	@$(VENV)/pytest tests/unit --numprocesses 2 --no-loadscope-reorder --quiet -p no:schemathesis -p no:anyio -p no:faker

# Of each property the same examples in each run, so that a change is what makes it fail; `make check` draws new ones.
test: $(VENV)/.installed $(DRAW)/node_modules/.installed  ## every promise once, on real parts
	@scripts/engine.sh
	@$(PYTEST) --hypothesis-seed=0 --ignore=tests/long --ignore=tests/cluster; exit $$?

test-long: $(VENV)/.installed  ## whole matrices, floods and drills
	@scripts/engine.sh
	@$(PYTEST) --timeout 3600 tests/long; exit $$?

test-cluster: $(VENV)/.installed  ## the chart and the overlays on a real Kubernetes; its parts are built the first time, in 25 minutes
	@scripts/engine.sh && python3 -m scripts.cluster parts
	@$(VENV)/pytest --timeout 1200 --durations 10 tests/cluster

attack: $(VENV)/.installed $(DRAW)/node_modules/.installed  ## every hostile input, beside another client that must not notice
	@scripts/engine.sh
	@ATTACK=at-length $(VENV)/pytest --timeout 3600 --durations 10 tests/attacks

fuzz: $(VENV)/.installed  ## 20,000 requests made up from the API's own description
	@scripts/engine.sh
	@FUZZ_REQUESTS=20000 $(VENV)/pytest tests/e2e/test_api_fuzz.py

lint: $(VENV)/.installed  ## ruff, mypy, shellcheck, actionlint
	@$(VENV)/pytest tests/unit/test_lint.py

format: $(VENV)/.installed  ## let ruff put the code in order
	@$(VENV)/ruff check --fix . && $(VENV)/ruff format .

lock: $(VENV)/.installed  ## renew requirements/*.txt from *.in, hashes included
	@for set in runtime service test bench mlflow; do $(VENV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" requirements/$$set.in -o requirements/$$set.txt; done

clean:  ## remove what tests and linters leave; images, data and .env stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis artifacts .build/sbom.json
	@find . \( -name .git -o -name .venv -o -name node_modules \) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Debian's python3 comes without venv and pip; then they are installed first.
$(VENV)/.installed: requirements/test.txt
	@scripts/venv.sh

$(DRAW)/node_modules/.installed: $(DRAW)/package-lock.json
	@scripts/draw.sh
