import CLibPQ

/// The answer to one statement: its rows, read in place from the memory that libpq received them in.
public struct PostgresResult: Sendable, RandomAccessCollection {
    let handle: ResultHandle

    public var startIndex: Int { 0 }
    public var endIndex: Int { handle.rows }
    public subscript(position: Int) -> PostgresRow {
        precondition(position >= 0 && position < handle.rows, "row out of range")
        return PostgresRow(handle: handle, row: position)
    }

    /// How many rows an insert, update, delete or select touched; 0 for other statements.
    public var affectedRows: Int { handle.affectedRows }
    /// What the server says it did: `INSERT 0 1`, `COMMIT`.
    var commandTag: String { String(cString: PQcmdStatus(handle.pointer)) }
}

/// Owns one `PGresult`, and frees it with the last reference.
final class ResultHandle: Sendable {
    // Safe: a `PGresult` does not change once libpq has handed it out; the calls made on it here only read.
    nonisolated(unsafe) let pointer: OpaquePointer
    let rows: Int
    let columns: Int

    init(_ pointer: OpaquePointer) {
        self.pointer = pointer
        self.rows = Int(PQntuples(pointer))
        self.columns = Int(PQnfields(pointer))
    }

    deinit { PQclear(pointer) }

    var affectedRows: Int { Int(String(cString: PQcmdTuples(pointer))) ?? 0 }

    /// `nil` when the result has no such column.
    func column(_ name: String) -> Int? {
        for column in 0..<columns where name == String(cString: PQfname(pointer, Int32(column))) { return column }
        return nil
    }

    func withBytes<R>(row: Int, column: Int, _ body: (UnsafeBufferPointer<UInt8>?) throws -> R) rethrows -> R {
        precondition(column >= 0 && column < columns, "column out of range")
        let row = Int32(row)
        let column = Int32(column)
        guard PQgetisnull(pointer, row, column) == 0 else { return try body(nil) }
        let count = Int(PQgetlength(pointer, row, column))
        // libpq returns a valid pointer for every cell in range, also for an empty text.
        return try PQgetvalue(pointer, row, column)!.withMemoryRebound(to: UInt8.self, capacity: count) {
            try body(UnsafeBufferPointer(start: $0, count: count))
        }
    }
}
