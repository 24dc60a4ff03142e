import Core

/// An answer that was given before, as the table `idempotency_key` has it.
struct StoredAnswer: Sendable {
    var status: Int
    /// Of a hand-written route or a batch: the body, and the `ETag` where there is one. Of a record: the names of its columns, then their
    /// values as text; none for a removal.
    var cells: [[UInt8]?]

    /// The answer of a route that recorded its body.
    var reply: Reply {
        var headers = [IdempotencyKey.replayed]
        if cells.count > 1, let etag = cells[1] { headers.append(("etag", String(decoding: etag, as: UTF8.self))) }
        guard let body = cells.first, let body, !body.isEmpty else { return Reply(status: status, headers: headers) }
        return .json(body, status: status, headers: headers)
    }
}
