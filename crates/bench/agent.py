"""A minimal agent like that of the endpoint that heartbeat replaces: psutil and requests, for `bench agent`.

    python agent.py URL SECONDS_BETWEEN_HEARTBEATS
"""

import platform
import socket
import sys
import time
from datetime import datetime, timezone

import psutil
import requests

url, interval = sys.argv[1], float(sys.argv[2])
while True:
    memory, disk, network = psutil.virtual_memory(), psutil.disk_usage("/"), psutil.net_io_counters()
    load = psutil.getloadavg()
    heartbeat = {
        "server_id": "python",
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "os_info": {"kernel": platform.release(), "architecture": platform.machine()},
        "metrics": {
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": memory.percent,
            "memory_total_mb": memory.total >> 20,
            "memory_used_mb": memory.used >> 20,
            "disk_percent": disk.percent,
            "disk_total_gb": disk.total / 2**30,
            "disk_used_gb": disk.used / 2**30,
            "network_rx_bytes": network.bytes_recv,
            "network_tx_bytes": network.bytes_sent,
            "load_1m": load[0],
            "load_5m": load[1],
            "load_15m": load[2],
            "uptime_seconds": int(time.time() - psutil.boot_time()),
        },
    }
    requests.post(url, json=heartbeat, headers={"X-API-Key": "key"}, timeout=10)
    time.sleep(interval)
