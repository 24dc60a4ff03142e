import Core
import Postgres

/// What a write of one record brings about besides: further statements in its transaction, thought out by the service from the record as it is then.
///
/// A write that does not ask for it is one round trip as ever; one that does is a transaction of some. It runs only when the write has changed the
/// record, so of several at the same moment that come to the same it runs for one.
public struct FollowUp: Sendable {
    /// Whether a write may ask for it, by the values that it gives: each field's text, `nil` for null.
    let isAskedFor: @Sendable (_ values: [String: String?]) -> Bool
    let run: @Sendable (_ record: RecordID, PostgresTransaction, RequestContext) async throws -> Void

    public init(
        when isAskedFor: @escaping @Sendable (_ values: [String: String?]) -> Bool,
        run: @escaping @Sendable (_ record: RecordID, PostgresTransaction, RequestContext) async throws -> Void
    ) {
        self.isAskedFor = isAskedFor
        self.run = run
    }

    func isAskedFor(by write: Write) -> Bool {
        var values: [String: String?] = [:]
        for change in write.changes {
            guard case .set(let value) = change.value else { continue }
            let text: String? = if case .text(let text) = value { text } else { nil }
            values.updateValue(text, forKey: change.field.name)
        }
        return isAskedFor(values)
    }
}
