# An HTTP server on port 80, of Python's own library, that remembers: a note that is posted to /notes is answered with
# its number, and stands at /notes/NUMBER. Notes are in memory alone. /connection tells the number of the connection
# that a request came on, and how many requests came on it.
import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOTE_LIMIT = 65_536
NOTES_LIMIT = 10_000

notes = []
notes_lock = threading.Lock()
connections = itertools.count(1)


class Notes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "notes"
    timeout = 300

    def setup(self):
        super().setup()
        self.connection_number = next(connections)
        self.requests_here = 0

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.requests_here += 1
        if self.path == "/":
            self.answer(200, "notes\n")
        elif self.path.split("?")[0] == "/connection":
            self.answer(200, f"{self.connection_number} {self.requests_here}\n")
        elif self.path.startswith("/notes/") and self.path[7:].isascii() and self.path[7:].isdigit():
            number = int(self.path[7:])
            with notes_lock:
                note = notes[number - 1] if 1 <= number <= len(notes) else None
            self.answer(404, "no such note\n") if note is None else self.answer(200, note)
        else:
            self.answer(404, "nothing here\n")

    def do_POST(self):
        self.requests_here += 1
        length = self.headers.get("Content-Length", "")
        if self.path != "/notes" or not (length.isascii() and length.isdigit()) or int(length) > NOTE_LIMIT:
            self.close_connection = True
            self.answer(400, "a note is posted to /notes, with its length, 64 KiB at most\n")
            return
        note = self.rfile.read(int(length)).decode("utf-8", "replace")
        with notes_lock:
            full = len(notes) >= NOTES_LIMIT
            if not full:
                notes.append(note)
            number = len(notes)
        self.answer(507, "the book is full\n") if full else self.answer(201, f"{number}\n")

    def log_message(self, format, *values):
        pass


ThreadingHTTPServer(("", 80), Notes).serve_forever()
