# mimeo: every command a newcomer needs. `make help` lists them.
#
# Nothing here uses a cluster of yours unless it is named: KUBECONFIG is not
# passed on, so that no target can touch the cluster your shell points at.

unexport KUBECONFIG
SHELL := /bin/bash
.DEFAULT_GOAL := help
LAB := tests/lab/lab

.PHONY: help demo build bench lab-up lab-down lab-status lab-shell lab-kubeconfig lab-kubectl lab-forge lab-images lab-test

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: ## the main job, end to end, on a real cluster (CONTEXT=name uses yours instead of the lab)
	@tests/demo/prepare
	@tests/demo/run

build: ## release build: target/release/mimeo
	@cargo build --release --locked --package cli

lab-up: ## start the lab, a real Kubernetes on this machine (first time: 10-15 minutes)
	@$(LAB) up

lab-down: ## stop the lab and remove all it left
	@$(LAB) down

lab-status: ## what of the lab runs, and who started it
	@$(LAB) status

lab-shell: ## a shell whose kubectl talks to the lab
	@$(LAB) shell

lab-kubeconfig: ## print the path of the lab's admin kubeconfig (use make -s)
	@$(LAB) kubeconfig

lab-kubectl: ## print the path of the lab's kubectl (use make -s)
	@$(LAB) kubectl

lab-forge: ## a Gitea in the lab: print its URL and the path of its admin's token (use make -s)
	@$(LAB) forge

lab-images: ## build and import what the other templates run: S3, Kafka, Dagster, Airflow (first time: 10 minutes)
	@$(LAB) images

lab-test: ## test the lab itself: kills, restarts and stops it
	@tests/lab/test

bench: build ## what mimeo costs, beside its peers on a control plane of its own (a table, and target/bench/results.json)
	@cargo build --release --locked --package testkit --package plan --package render --package source \
		--example wire --example planning --example again --example subtree
	@cargo test --locked --package cli --test cluster --no-run
	@tests/bench/run

.PHONY: test soak

test: ## every test: formatting, lints, units, the lab, real clusters (last line: N passed, N failed)
	@tests/run

soak: ## the same proofs at full count: every write with every way to die
	@tests/run --soak
