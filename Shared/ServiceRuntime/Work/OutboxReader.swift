import Contracts
import Operations
import Postgres

/// An event in the outbox, with its place there.
struct QueuedEvent: Sendable {
    var lane: Int
    var id: Int64
    var event: Event

    static let columns = """
        lane, id, event_id, tenant_id, aggregatetype, aggregateid, type, payload::text as payload, actor, request_id, occurred_at
        """

    init(row: PostgresRow, source: ServiceName) throws {
        lane = try row.decode("lane")
        id = try row.decode("id")
        event = Event(
            id: try row.decode("event_id"), tenant: try row.decode("tenant_id"), source: source.rawValue,
            aggregate: try row.decode("aggregatetype"), aggregateID: try row.decode("aggregateid"), kind: try row.decode("type"),
            actor: try row.decode("actor"), requestID: try row.decode("request_id"), occurredAt: try row.decode("occurred_at"),
            payload: try row.decode("payload"))
    }

    /// Deletes the events from the outbox; may be followed by ` and` and a condition. Each is found by its key, apart from all else:
    /// see ``OutboxReader``.
    static func removal(of events: ArraySlice<QueuedEvent>) -> SQL {
        """
        delete from outbox where ctid = any (array(
            select place from unnest(\(events.map(\.lane))::smallint[], \(events.map(\.id))::bigint[]) as delivered (lane, id)
            cross join lateral (
                select outbox.ctid as place from outbox where outbox.lane = delivered.lane and outbox.id = delivered.id offset 0
            ) as found
        ))
        """
    }
}

/// Finds the oldest events of each lane.
///
/// A row that was delivered and deleted stays in the table and its index while any snapshot of the database is open (a dump, a report), so
/// a look from the beginning would walk over all of them each time. Each lane has a floor instead, an id up to which all is delivered.
/// It must not pass an id that an open transaction has taken: that event is still to come. Who inserts into the outbox holds a lock on the
/// table from before it takes an id until its transaction ends. So, of the last id taken: once those are gone who held the lock after it
/// was looked up, every id up to it is committed, or never will be.
struct OutboxReader: Sendable {
    static let lanes = 64
    private let session: PostgresSession
    private let source: ServiceName
    /// Events of one lane in one look, and of all lanes; bytes of their payloads, beyond which one event may still go.
    let laneLimit: Int
    let limit: Int
    let bytes: Int
    /// Time between two looks at who writes.
    let settling: Duration

    /// So many events of one lane in a look that had no room for all are a crowd; as many are then looked for past them.
    private static let crowd = 50
    /// Whether the last look had room for all that waits.
    private var isWhole = true
    /// Of the last look, those that were fetched past the others of their lane.
    private var passing: Set<Int64> = []
    private var floors = [Int64](repeating: 0, count: lanes)
    /// Every id up to this one is committed, or never will be.
    private var settled: Int64 = 0
    private var unsettled: (id: Int64, writers: Set<String>)?
    private var nextCheck = ContinuousClock.now

    init(
        _ session: PostgresSession, of source: ServiceName, laneLimit: Int = 500, limit: Int = 1000, bytes: Int = 8 << 20,
        settling: Duration = .seconds(1)
    ) async throws {
        self.session = session
        self.source = source
        self.laneLimit = laneLimit
        self.limit = limit
        self.bytes = bytes
        self.settling = settling
        // A plan that was made while the outbox was empty, and kept, would read the whole table for each lane when it is full. For the
        // same reason a statement finds each event by its key apart from all else (`offset 0`): a join of its own would be free to
        // walk a whole index for each of them, and with it everything that is deleted and still there for a snapshot.
        try await session.query("select set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false)")
    }

    /// The oldest events of each lane, each lane's in their order, as many as there is room for: of every lane the first before the second
    /// of any. Where a lane is crowded, then also the oldest of its tenants that do not come up among these.
    mutating func read() async throws -> [QueuedEvent] {
        try await settle()
        let events = try await oldest()
        isWhole = events.count < min(laneLimit, limit) && events.reduce(0) { $0 + $1.event.payload.utf8.count } < bytes
        let crowded = isWhole ? [:] : Dictionary(grouping: events, by: \.lane).filter { $0.value.count >= Self.crowd }
        let others =
            crowded.isEmpty ? [] : try await others(than: crowded.values.flatMap(\.self), in: Array(crowded.keys))
        passing = Set(others.map(\.id))
        return events + others
    }

    private func oldest() async throws -> [QueuedEvent] {
        try await session.query(
            """
            select waiting.* from (
                select lane, id, place, sum(size) over (order by place, id) - size as bytes_before
                from (
                    select lane, id, place, size
                    from (
                        select oldest.lane, oldest.id, row_number() over (partition by oldest.lane order by oldest.id) as place
                        from unnest(\(floors)::bigint[]) with ordinality as from_floor (floor, number)
                        cross join lateral (
                            select lane, id from outbox where lane = (number - 1)::smallint and id > floor order by id limit \(laneLimit)
                        ) as oldest
                        order by place, id limit \(limit)
                    ) as first
                    cross join lateral (
                        select octet_length(payload::text) as size from outbox where lane = first.lane and id = first.id offset 0
                    ) as sized
                ) as measured
            ) as counted
            cross join lateral (
                select \(unescaped: QueuedEvent.columns) from outbox where lane = counted.lane and id = counted.id offset 0
            ) as waiting
            where bytes_before < \(bytes) order by place, waiting.id
            """
        ).map { try QueuedEvent(row: $0, source: source) }
    }

    /// This walks over all that waits in the lanes: 15 ms for 100,000 events of one tenant, beside the 500 that are handed over meanwhile.
    private func others(than events: [QueuedEvent], in lanes: [Int]) async throws -> [QueuedEvent] {
        let floor = lanes.map { floors[$0] }.min() ?? 0
        return try await session.query(
            """
            select \(unescaped: QueuedEvent.columns) from outbox
            where lane = any (\(lanes)::smallint[]) and id > \(floor) and tenant_id <> all (\(Set(events.map(\.event.tenant)).sorted())::uuid[])
            order by id limit \(Self.crowd)
            """
        ).map { try QueuedEvent(row: $0, source: source) }
    }

    /// Takes note that all events of the last look have left the outbox.
    mutating func delivered(_ events: [QueuedEvent]) {
        if isWhole { return floors = [Int64](repeating: settled, count: Self.lanes) }
        // What a lane has beyond these is not known, so its floor goes no further than to the last of them.
        for event in events where !passing.contains(event.id) { floors[event.lane] = max(floors[event.lane], min(event.id, settled)) }
    }

    private mutating func settle() async throws {
        guard ContinuousClock.now >= nextCheck else { return }
        nextCheck = .now + settling
        // One after the other: the locks are looked up after the id.
        let results = try await session.batch([
            "select case when is_called then last_value else 0 end from outbox_id_seq",
            """
            select distinct virtualtransaction from pg_locks
            where relation = 'outbox'::regclass and mode = 'RowExclusiveLock'
                and database = (select oid from pg_database where datname = current_database())
            """,
        ])
        let last = try results[0][0].decode(0, as: Int64.self)
        let writers = Set(try results[1].map { try $0.decode(0, as: String.self) })
        if let (id, earlier) = unsettled, earlier.isDisjoint(with: writers) {
            settled = id
            unsettled = nil
        }
        if unsettled == nil, last > settled { unsettled = (last, writers) }
    }
}
