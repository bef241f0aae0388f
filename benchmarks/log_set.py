"""A log set of 200 known templates: ten services of twenty, whose lines differ in numbers, ids, addresses, names, lists and texts.

Parameters: ``{int} {big} {float} {pct} {size} {dur} {hex} {uuid} {ip} {addr} {host} {path} {url} {mail} {ts} {q}`` (quoted text)
``{ints} {names}`` (lists in brackets, of any length) ``{csv}`` (numbers with commas between) ``{user} {word}`` (bare words)
``{bare}`` (one to four bare words: what Drain, which counts words, cannot know).
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

TEMPLATES: Mapping[str, str] = {
    "gateway": """
I accepted connection from {addr}
I closed connection from {addr} after {dur}
I forwarding request {uuid} to {host}
I route table reloaded with {int} routes in {dur}
I tls handshake with {ip} finished in {dur}
W tls handshake with {ip} failed: {q}
W upstream {host} answered slowly: {dur}
E upstream {host} refused connection
E upstream {host} reset connection after {int} bytes
I rate limit for client {ip} set to {int} per second
W client {ip} exceeded rate limit, {int} requests dropped
I health check of {host} passed
W health check of {host} failed {int} times
I draining {host} with {int} open connections
I certificate for {url} expires in {int} days
E certificate for {url} has expired
I compressed response of {size} to {size}
I websocket {hex} opened by {user}
I websocket {hex} closed by {user} with code {int}
D header list {names} stripped from request {uuid}
""",
    "orders": """
I order {big} created for customer {int}
I order {big} paid with {float} EUR
I order {big} shipped to {word}
I order {big} cancelled by customer {int}
W order {big} waits for payment since {dur}
E order {big} could not be saved: {q}
I basket {uuid} converted to order {big}
I voucher {q} applied to order {big}, saved {float} EUR
W voucher {q} rejected for order {big}
I reserving items {ints} for order {big}
E reservation of items {ints} for order {big} timed out after {dur}
I invoice written to {path}
I invoice mailed to {mail}
W mail to {mail} bounced
I retrying payment of order {big} in {dur}, attempt {int} of {int}
E payment of order {big} failed permanently
I returned items {csv} of order {big}
I archived {int} orders older than {int} days
I loaded {int} tax rules from {path}
D price of item {int} recalculated from {float} to {float}
""",
    "database": """
I checkpoint starting: time
I checkpoint complete: wrote {int} buffers ({pct}); {int} files added
I automatic vacuum of table {q}: {int} pages removed
W long running query {hex} took {dur}
E deadlock detected between process {int} and process {int}
E duplicate key value violates unique constraint {q}
I connection received: host={ip} port={int}
I connection authorized: user={user} database={word}
I disconnection: session time: {dur} user={user}
W too many connections, {int} of {int} used
I replication slot {q} advanced to {hex}
W replica {host} lags by {size}
E replica {host} is gone
I index {q} rebuilt in {dur}
E could not write block {int} of file {path}
E out of memory while allocating {size}
I autovacuum launcher started
I parameter {q} changed to {q}
W statistics of table {q} are older than {int} hours
E canceling statement due to timeout of {dur}
""",
    "storage": """
I Receiving block blk_{big} src: /{addr} dest: /{addr}
I Received block blk_{big} of size {int} from /{ip}
I PacketResponder {int} for block blk_{big} terminating
I Deleting block blk_{big} file {path}
I Verification succeeded for blk_{big}
W Verification failed for blk_{big}
I Served block blk_{big} to /{ip}
W Got exception while serving blk_{big} to /{ip}
I Starting thread to transfer block blk_{big} to {csv}
E Failed to transfer blk_{big} to {addr} got {q}
I Node {host} registered with {int} blocks
W Node {host} missed {int} heartbeats
E Node {host} declared dead
I Volume {path} has {size} free
W Volume {path} is {pct} full
E Volume {path} is read only
I Rebalancing moved {int} blocks in {dur}
I Snapshot {uuid} created
I Snapshot {uuid} deleted
D Lease of {path} renewed by {user}
""",
    "auth": """
I Accepted password for {user} from {ip} port {int}
W Failed password for {user} from {ip} port {int}
W Failed password for invalid user {user} from {ip} port {int}
I session opened for user {user} by uid {int}
I session closed for user {user}
I token {hex} issued to {user} for {dur}
I token {hex} of {user} revoked
W token {hex} expired {dur} ago
E signature of token {hex} is invalid
I user {user} changed password
I user {user} enabled two factor login
W user {user} locked after {int} failures
I user {user} unlocked by {user}
I roles of {user} are now {names}
E directory server {host} cannot be reached
W directory server {host} answered after {dur}
I key set rotated, new key {hex}
E key set {hex} cannot be read from {path}
I purged {int} sessions older than {dur}
D policy {q} allows {user} on {path}
""",
    "scheduler": """
I job {int} queued by {user}
I job {int} started on {host}
I job {int} finished in {dur}
W job {int} overran its limit of {dur}
E job {int} failed with exit code {int}
I task {int}.{int} assigned to executor {int}
W lost executor {int} on {host}: {q}
I stage {int} has {int} missing tasks
I submitting {int} missing tasks from stage {int}
I removed broadcast {int} on {addr} in memory (size: {size}, free: {size})
W cluster has only {int} idle workers
I worker {host} joined with {int} cores and {size} memory
I worker {host} left
E worker {host} crashed {int} times in {dur}
I dependencies of job {int} are {ints}
I cron entry {q} next runs at {ts}
W cron entry {q} missed its run at {ts}
I queue {word} has {int} entries
E queue {word} is full
D tick took {dur}
""",
    "mailer": """
I message {hex} accepted from {mail}
I message {hex} delivered to {mail} in {dur}
W message {hex} deferred: {q}
E message {hex} rejected by {host}: {q}
I removed {hex} from queue
I connect from {host}[{ip}]
I disconnect from {host}[{ip}]
W {ip} is listed at {word}
I spam score of {hex} is {float}
W spam score of {hex} is {float}, quarantined
I queue run started, {int} messages
I queue run ended after {dur}, {int} messages left
E template {q} not found
E template {q} has unknown fields {names}
I digest sent to {int} recipients
I list {q} has {int} subscribers
I unsubscribed {mail}
W relay {host} is greylisting us for {dur}
E relay {host} closed the connection
D rendered {path} in {dur}
""",
    "search": """
I query {q} returned {int} hits in {dur}
W query {q} timed out after {dur}
I indexed {int} documents in {dur}
I segment {hex} merged, {size} freed
I shard {int} of index {word} moved to {host}
W shard {int} of index {word} is unassigned
E shard {int} of index {word} is corrupt
I cache hit ratio is {pct}
I cache of {size} evicted {int} entries
W heap usage {pct} is above {pct}
I garbage collection took {dur}, freed {size}
W garbage collection took {dur} in the last {dur}
E circuit breaker {q} tripped at {size}
I synonyms loaded from {path}: {int}
I cluster state version {int} published
W master {host} not discovered yet
I elected {host} as master
I mapping update for {word}, fields {names}
E translog {path} is truncated at {int}
D scoring explained for {uuid}
""",
    "kernel": """
I eth0: link is up at {int} Mbps
W eth0: link is down
I CPU{int}: temperature is {float}
W CPU{int}: temperature above threshold, clock throttled (total events = {int})
E Out of memory: Killed process {int} ({word}) total-vm:{int}kB
E I/O error on device {word}, sector {big}
W device {word} reports {int} reallocated sectors
I mounted filesystem {path} with options {q}
E filesystem {path} remounted read-only
I usb {int}-{int}: new device number {int}
I usb {int}-{int}: device disconnected
W TCP: possible SYN flooding on port {int}
W nf_conntrack: table full, dropping packet
I audit: type={int} audit({float}:{int}): pid={int} uid={int}
I process {int} ({word}) started
E process {int} ({word}) dumped core to {path}
I random: crng init done
W clocksource: time skew of {dur} detected
I module {word} loaded at {hex}
D irq {int}: affinity is {csv}
""",
    "billing": """
I invoice run {uuid} started for {int} accounts
I invoice run {uuid} finished in {dur}
E invoice run {uuid} aborted at account {int}
I account {int} charged {float} EUR
W account {int} has insufficient funds
I account {int} upgraded from {word} to {word}
I exchange rate of {word} is {float}
W exchange rate of {word} is {int} hours old
E exchange rate of {word} is missing
I export to {url} took {dur}
E export to {url} answered {int}
I ledger {hex} balanced
E ledger {hex} is off by {float}
I reminder {int} sent to {mail}
I notified {bare} about invoice {big}
W disputed by {bare}: {float} EUR
I approvers are {names}
I payout batch {int} contains {ints}
I fee table from {ts} active
D rounding {float} to {float}
""",
}
_SEVERITIES = {"D": "debug", "I": "info", "W": "warn", "E": "error"}
_USERS = (
    *("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"),
    *("mallory", "niaj", "olivia", "peggy", "rupert", "sybil", "trent", "victor", "walter", "zoe"),
)
_WORDS = (
    *("premium", "basic", "emails", "photos", "berlin", "oslo", "lima", "sda", "nvme"),
    *("postgres", "nginx", "python", "eurusd", "gbpusd", "spamhaus", "orders", "users"),
)


class Line(NamedTuple):
    """A line, and the template that it was made from."""

    service: str
    template: int
    severity: str
    text: str


class LogSet:
    """Draws lines: a service's templates come as often as 1, 1/2, 1/3 ... of the first, in an order drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.templates: dict[str, list[tuple[int, str, str]]] = {}
        n = 0
        for service, lines in TEMPLATES.items():
            own = []
            for line in lines.strip().splitlines():
                own.append((n, _SEVERITIES[line[0]], line[2:]))
                n += 1
            self.rng.shuffle(own)
            own.sort(key=lambda one: one[1] in {"warn", "error"})  # what is bad is rare
            self.templates[service] = own

    @property
    def n_templates(self) -> int:
        """Templates of all services."""
        return sum(len(own) for own in self.templates.values())

    def lines(self, n: int) -> Iterator[Line]:
        """Yield ``n`` lines of all services."""
        services = list(self.templates)
        for _ in range(n):
            yield self.line(self.rng.choice(services))

    def line(self, service: str, *, n_known: int = 20) -> Line:
        """Return a line of one of the first ``n_known`` templates of a service, by their frequency."""
        own = self.templates[service][:n_known]
        number, severity, text = self.rng.choices(own, [1 / (i + 1) for i in range(len(own))])[0]
        return Line(service, number, severity, self.filled(text))

    def filled(self, template: str) -> str:
        """Return a line of a template."""
        parts = template.split("{")
        filled = [parts[0]]
        for part in parts[1:]:
            name, _, rest = part.partition("}")
            filled += [_DRAW[name](self.rng), rest]
        return "".join(filled)


def _several(rng: random.Random, draw: Callable[[random.Random], str], most: int, sep: str) -> str:
    return sep.join(draw(rng) for _ in range(rng.randint(1, most)))


def _int(rng: random.Random) -> str:
    return str(int(10 ** rng.uniform(0, 5)))


def _ip(rng: random.Random) -> str:
    return ".".join(str(rng.randrange(1, 255)) for _ in range(4))


def _hex(rng: random.Random, digits: int) -> str:
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def _path(rng: random.Random) -> str:
    return "/" + "/".join(
        rng.choice(["var", "data", "srv", "tmp", "part-" + _int(rng), _hex(rng, 8) + ".db"]) for _ in range(rng.randint(2, 4))
    )


def _user(rng: random.Random) -> str:
    return rng.choice(_USERS) if rng.random() < 0.7 else rng.choice(_USERS) + _int(rng)


_QUOTED = ("no such host", "connection reset by peer", "x", "a longer text, with 3 commas, and all", "cart_items", "SUMMER-2024")
_DRAW: Mapping[str, Callable[[random.Random], str]] = {
    "int": _int,
    "big": lambda rng: str(rng.choice([1, -1, 1]) * rng.randrange(10**9, 10**18)),
    "float": lambda rng: f"{10 ** rng.uniform(-1, 4):.2f}",
    "pct": lambda rng: f"{rng.uniform(0, 100):.1f}%",
    "size": lambda rng: f"{_int(rng)}{rng.choice(['B', 'kB', 'MB', 'GiB'])}",
    "dur": lambda rng: f"{10 ** rng.uniform(0, 3):.{rng.choice([0, 1, 3])}f}{rng.choice(['ms', 's', 'us'])}",
    "hex": lambda rng: rng.choice(["0x", ""]) + _hex(rng, rng.choice([8, 12, 16, 32])),
    "uuid": lambda rng: "-".join(_hex(rng, n) for n in (8, 4, 4, 4, 12)),
    "ip": _ip,
    "addr": lambda rng: f"{_ip(rng)}:{rng.randrange(1024, 65536)}",
    "host": lambda rng: f"{rng.choice(['node', 'web', 'db'])}-{rng.randrange(1, 200)}",
    "path": _path,
    "url": lambda rng: f"https://{rng.choice(_WORDS)}.example.org/{_int(rng)}?q={rng.choice(_WORDS)}",
    "mail": lambda rng: f"{_user(rng)}@{rng.choice(_WORDS)}.example.org",
    "ts": lambda rng: f"2026-01-{rng.randrange(1, 29):02d}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:00Z",
    "q": lambda rng: f'"{rng.choice(_QUOTED)}"',
    "ints": lambda rng: f"[{_several(rng, _int, 6, ', ')}]",
    "names": lambda rng: f"[{_several(rng, lambda r: r.choice(_USERS), 5, ', ')}]",
    "csv": lambda rng: _several(rng, _int, 5, ", "),
    "user": _user,
    "word": lambda rng: rng.choice(_WORDS),
    "bare": lambda rng: _several(rng, lambda r: r.choice(_USERS), 4, " "),
}
