"""A stand-in for the W&B server: the few endpoints that runs, `wandb sync` and `wandb agent` call, kept in memory.

It was written by watching the requests of the programs. It answers unknown requests with nothing, so that a program
that needs an answer fails visibly.
"""

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

KEY = "0123456789abcdef0123456789abcdef01234567"
USER = {"id": "u", "entity": "me", "username": "me", "email": "me@example.org", "flags": "{}", "teams": {"edges": []}}


class Run:
    """The server's record of a run.

    Attributes:
        settings: The last values from the client: displayName, groupName, jobType, tags, config.
        history: Its rows, by line number.
        summary: The last summary.
        files: Names of the uploaded files.
        exit_codes: One for every end of the run.
    """

    def __init__(self):
        self.settings, self.history, self.summary = {}, {}, {}
        self.files, self.exit_codes = [], []

    @property
    def config(self):
        return {key: entry["value"] for key, entry in json.loads(self.settings["config"]).items() if key != "_wandb"}

    def values(self, key):
        return [row[key] for _, row in sorted(self.history.items()) if key in row]


class WandbServer:
    """The server and its memory; a context manager.

    Args:
        sweep: Content of a sweep file.
        commands: Lists of commands for the agent: the next list whenever no run is active, and `exit` after the last.
    """

    def __init__(self, sweep=None, commands=()):
        self.sweep, self.commands = sweep, list(commands)
        self.runs = {}
        self.requests = []

    def __enter__(self):
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"memory": self}))
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def environment(self):
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def run(self, name):
        return self.runs.setdefault(name, Run())

    def answer(self, operation, variables):
        """Returns the `data` of a GraphQL answer."""
        if operation == "Viewer":
            return {"viewer": USER}
        if operation == "SweepWithRuns":
            config = yaml.safe_dump(self.sweep)
            return {"project": {"sweep": {"id": "s", "name": "sweep", "config": config, "runs": {"edges": []}}}}
        if operation == "CreateAgent":
            return {"createAgent": {"agent": {"id": "agent"}}}
        if operation == "Heartbeat":
            idle = not json.loads(variables["runState"])
            commands = [] if not idle else self.commands.pop(0) if self.commands else [{"type": "exit"}]
            return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(commands)}}
        if operation == "RunResumeStatus":
            known = variables["name"] in self.runs
            bucket = self._resumed(variables["name"]) if known else None
            return {"model": {"id": "p", "name": variables["project"], "bucket": bucket}}
        if operation == "UpsertBucket":
            inserted = variables["name"] not in self.runs
            run = self.run(variables["name"])
            run.settings |= {key: value for key, value in variables.items() if value is not None}
            return {"upsertBucket": {"bucket": self._bucket(variables["name"]), "inserted": inserted}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
            self.run(variables["run"]).files += variables["files"]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        return {}

    def _bucket(self, name):
        run = self.run(name)
        project = {"id": "p", "name": run.settings["project"], "entity": {"id": "e", "name": "me"}}
        return {
            "id": name,
            "name": name,
            "displayName": run.settings.get("displayName"),
            "config": run.settings["config"],
            "sweepName": run.settings.get("sweep"),
            "project": project,
            "historyLineCount": len(run.history),
        }

    def _resumed(self, name):
        run = self.run(name)
        tail = [json.dumps(row) for _, row in sorted(run.history.items())[-1:]]
        return self._bucket(name) | {
            "summaryMetrics": "{}",
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "tags": run.settings.get("tags"),
            "wandbConfig": json.dumps({"t": {"5": "of a client that has started"}}),
        }

    def stream(self, name, content):
        """Takes a request of the file stream."""
        history = content.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
        for number, line in enumerate(history["content"], history["offset"]):
            self.run(name).history[number] = json.loads(line)
        if summary := content.get("files", {}).get("wandb-summary.json"):
            self.run(name).summary = json.loads(summary["content"][-1])
        if content.get("complete"):
            self.run(name).exit_codes.append(content["exitcode"])


class Handler(BaseHTTPRequestHandler):
    """HTTP around `memory`, a `WandbServer`."""

    memory: WandbServer

    def do_POST(self):
        body = self._body()
        if self.path == "/graphql":
            request = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])[1]
            self.memory.requests.append(operation)
            return self._send({"data": self.memory.answer(operation, request.get("variables"))})
        self.memory.requests.append(self.path)
        if stream := re.fullmatch(r"/files/.*?([^/]+)/file_stream", self.path):
            self.memory.stream(stream[1], json.loads(body))
            return self._send({"exitcode": None, "limits": {}})
        return self._send({}, 404)

    def do_PUT(self):
        self._body()
        self._send({})

    def _body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _send(self, content, code=200):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
