"""Copies the items of a restored table back into the table in use: docs/recover.md, "Backup and restore".

    aws dynamodb scan --table-name RESTORED > restored.json
    python3 crates/dev/copy_back.py TABLE < restored.json

Writes copy-back-1.json, copy-back-2.json and so on for `aws dynamodb transact-write-items`. Current attributes stay,
missing ones are added, and deleted items come back, except those that held only their key. A server gets the
registration of the backup. Absences and high metrics are not copied, so that nothing the watchdog has announced since
then is undone.
"""

import itertools
import json
import re
import sys

# The maximum number of items in one transaction of DynamoDB.
LIMIT = 100
# What an agent can send (C3.3).
SERVER_ID = re.compile(r"[a-z0-9-]{1,100}")
FROM_THE_BACKUP = ("registered_at", "registration_id")
LEFT_OUT = ("offline_since", "announced", "returned_at", "high")


def update(table, item):
    """The update that copies one item; empty for an item that holds only its key, or is the watchdog's own."""
    if not SERVER_ID.fullmatch(item.get("server_id", {"S": "any"}).get("S", "")):
        return None
    key = "key_sha256" if "key_sha256" in item else "server_id"
    if item.get("status") == {"S": "offline"}:
        item["status"] = {"S": "online"}
    names = [name for name in item if name != key and name not in LEFT_OUT]
    assignments = [
        f"#{at} = :{at}" if name in FROM_THE_BACKUP else f"#{at} = if_not_exists(#{at}, :{at})"
        for at, name in enumerate(names)
    ]
    return names and {
        "Update": {
            "TableName": table,
            "Key": {key: item[key]},
            "UpdateExpression": "SET " + ", ".join(assignments),
            "ExpressionAttributeNames": {f"#{at}": name for at, name in enumerate(names)},
            "ExpressionAttributeValues": {f":{at}": item[name] for at, name in enumerate(names)},
        }
    }


def main():
    table = sys.argv[1]
    updates = filter(None, (update(table, item) for item in json.load(sys.stdin)["Items"]))
    for number in itertools.count(1):
        part = list(itertools.islice(updates, LIMIT))
        if not part:
            break
        with open(f"copy-back-{number}.json", "w") as output:
            json.dump(part, output)
    print(f"{number - 1} files: copy-back-*.json")


if __name__ == "__main__":
    main()
