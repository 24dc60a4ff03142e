import Glibc

/// A statement's text with the name it is prepared under; the name is kept as the C string that libpq takes.
final class Statement {
    let id: Int
    let text: String
    let name: UnsafeMutablePointer<CChar>

    init(id: Int, text: String) {
        self.id = id
        self.text = text
        guard let name = strdup("s\(id)") else { fatalError("out of memory") }
        self.name = name
    }

    deinit { free(name) }
}

/// The statements that a reactor has seen lately, by text.
struct StatementTable {
    private var statements: [String: Statement] = [:]
    private var nextID = 0
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    /// The same statement for the same text, until more texts than the capacity came up.
    mutating func statement(_ text: String) -> Statement {
        if let statement = statements[text] { return statement }
        if statements.count >= capacity { statements.removeAll(keepingCapacity: true) }
        let statement = Statement(id: nextID, text: text)
        nextID += 1
        statements[text] = statement
        return statement
    }
}
