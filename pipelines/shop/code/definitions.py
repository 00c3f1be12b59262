"""The shop's pipeline: orders from the object store and clicks from Kafka into the warehouse, then dbt."""

import csv
import io
import json
import os
from contextlib import closing
from pathlib import Path

import boto3
import dagster
import psycopg2
from botocore.config import Config
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets
from kafka import KafkaConsumer, TopicPartition
from psycopg2.extras import execute_values

PROJECT = DbtProject(project_dir=Path(__file__).parent / "dbt")


def replace(table, columns, rows):
    """Replaces a table of schema `raw` in one transaction."""
    names = ", ".join(name for name, _ in columns)
    shape = ", ".join(f"{name} {kind}" for name, kind in columns)
    # The connection's variables are libpq's own: PGHOST, PGUSER and so on.
    with closing(psycopg2.connect("")) as connection, connection, connection.cursor() as cursor:
        # Assets are loaded side by side, and two that make the schema at once would collide.
        cursor.execute("select pg_advisory_xact_lock(hashtext('raw'))")
        cursor.execute("create schema if not exists raw")
        cursor.execute(f"create table if not exists raw.{table} ({shape})")
        cursor.execute(f"truncate raw.{table}")
        execute_values(cursor, f"insert into raw.{table} ({names}) values %s", rows)
    return dagster.MaterializeResult(metadata={"rows": len(rows)})


@dagster.asset(key=["raw", "orders"])
def orders():
    style = "path" if os.environ["S3_PATH_STYLE"] == "true" else "virtual"
    store = boto3.client("s3", config=Config(s3={"addressing_style": style}))
    bucket = os.environ["S3_BUCKET"]
    rows = []
    for item in store.list_objects_v2(Bucket=bucket, Prefix="orders/").get("Contents", []):
        text = store.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode()
        rows += [(row["id"], row["day"], row["customer"], row["cents"]) for row in csv.DictReader(io.StringIO(text))]
    columns = [("id", "bigint"), ("day", "date"), ("customer", "int"), ("cents", "int")]
    return replace("orders", columns, rows)


@dagster.asset(key=["raw", "clicks"])
def clicks():
    consumer = KafkaConsumer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], enable_auto_commit=False)
    parts = [TopicPartition("clicks", part) for part in consumer.partitions_for_topic("clicks") or ()]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    rows = []
    while any(consumer.position(part) < end for part, end in ends.items()):
        for records in consumer.poll(timeout_ms=1_000).values():
            events = (json.loads(record.value) for record in records)
            rows += [(event["id"], event["customer"], event["page"]) for event in events]
    consumer.close()
    return replace("clicks", [("id", "bigint"), ("customer", "int"), ("page", "text")], rows)


@dbt_assets(manifest=PROJECT.manifest_path)
def models(context: dagster.AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()


load = dagster.define_asset_job("load", dagster.AssetSelection.all())

# Wanted every hour in production. In an environment it rests unless the component says `schedules: running`.
hourly = dagster.ScheduleDefinition(
    job=load, cron_schedule="0 * * * *", default_status=dagster.DefaultScheduleStatus.RUNNING
)

defs = dagster.Definitions(
    assets=[orders, clicks, models],
    jobs=[load],
    schedules=[hourly],
    resources={"dbt": DbtCliResource(project_dir=PROJECT, profiles_dir=os.fspath(PROJECT.project_dir))},
)
