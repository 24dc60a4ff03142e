import Glibc

/// A statement's text with the name it is prepared under; the name is kept as the C string that libpq takes.
final class Statement {
    let id: Int
    let text: String
    let name: UnsafeMutablePointer<CChar>
    /// When it was run last, in runs of the reactor's statements.
    var lastUse = 0
    /// A text that comes a first time may never come again, and a plan that is kept takes tens of kilobytes of the server's memory
    /// on each connection; so it is prepared from the second time on. A very long text is not worth it at all.
    private(set) var isWorthPreparing = false

    /// Bytes.
    private static let longestPrepared = 16_384

    init(id: Int, text: String) {
        self.id = id
        self.text = text
        guard let name = strdup("s\(id)") else { fatalError("out of memory") }
        self.name = name
    }

    deinit { free(name) }

    func cameAgain() {
        if !isWorthPreparing, text.utf8.count <= Self.longestPrepared { isWorthPreparing = true }
    }
}

/// The statements that a reactor has seen lately, by text. Those that were not run for the longest time go first.
struct StatementTable {
    private var statements: [String: Statement] = [:]
    private var nextID = 0
    private var uses = 0
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    /// The same statement for the same text, until it is forgotten.
    mutating func statement(_ text: String) -> Statement {
        uses += 1
        if let statement = statements[text] {
            statement.cameAgain()
            statement.lastUse = uses
            return statement
        }
        if statements.count >= capacity {
            for statement in leastUsed(statements.values) { statements[statement.text] = nil }
        }
        let statement = Statement(id: nextID, text: text)
        nextID += 1
        statement.lastUse = uses
        statements[text] = statement
        return statement
    }
}

/// A quarter of the statements, at least one: those that were not run for the longest time.
func leastUsed(_ statements: some Collection<Statement>) -> ArraySlice<Statement> {
    statements.sorted { $0.lastUse < $1.lastUse }.prefix(max(1, statements.count / 4))
}
