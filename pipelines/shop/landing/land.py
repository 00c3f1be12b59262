"""What the shop's systems would bring: files of orders for the object store, clicks for Kafka.

Deterministic, so that the environment's gates can say what must come out: 3 files of 400 orders, 5,000 clicks.
"""

import csv
import io
import json
import os

import boto3
from botocore.config import Config
from kafka import KafkaProducer

FILES, ORDERS, CLICKS = 3, 400, 5_000


def orders(file):
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["id", "day", "customer", "cents"])
    for number in range(ORDERS):
        order = file * ORDERS + number
        rows.writerow([order, f"2026-01-{1 + order % 28:02}", order % 97, 100 + order * 37 % 9_000])
    return text.getvalue()


def land_files():
    style = "path" if os.environ["S3_PATH_STYLE"] == "true" else "virtual"
    store = boto3.client("s3", config=Config(s3={"addressing_style": style}))
    for file in range(FILES):
        store.put_object(Bucket=os.environ["S3_BUCKET"], Key=f"orders/{file}.csv", Body=orders(file).encode())


def land_events():
    producer = KafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], acks="all")
    for click in range(CLICKS):
        event = {"id": click, "customer": click % 97, "page": ["home", "list", "item"][click % 3]}
        producer.send("clicks", key=str(event["customer"]).encode(), value=json.dumps(event).encode())
    producer.flush()
    producer.close()


land_files()
land_events()
print(f"landed {FILES} files of {ORDERS} orders and {CLICKS} clicks")
