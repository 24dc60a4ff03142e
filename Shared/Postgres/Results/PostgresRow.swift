import Core

/// One row of a ``PostgresResult``. Columns count from 0; a column that the result does not have is a fault of the program.
public struct PostgresRow: Sendable {
    let handle: ResultHandle
    let row: Int

    public var count: Int { handle.columns }

    /// Gives the column's text format as it was received, `nil` for NULL. The buffer is valid only inside the closure.
    public func withBytes<R>(_ column: Int, _ body: (UnsafeBufferPointer<UInt8>?) throws -> R) rethrows -> R {
        try handle.withBytes(row: row, column: column, body)
    }

    /// Gives the text formats of the first columns in their order, `nil` for NULL; the way to read a whole row, as one call crosses
    /// the module's border instead of one for each cell. The buffers are valid only inside the closure.
    public func withEachBytes(first count: Int, _ body: (Int, UnsafeBufferPointer<UInt8>?) -> Void) {
        for column in 0..<count { handle.withBytes(row: row, column: column) { body(column, $0) } }
    }

    /// The column's text format; `nil` for NULL.
    public func text(_ column: Int) -> String? {
        withBytes(column) { $0.map { String(decoding: $0, as: UTF8.self) } }
    }

    /// The column as a value.
    ///
    /// - Throws: ``PostgresError`` of kind `invalidValue` when the text is not of that type, or NULL for a type that is not optional.
    public func decode<T: PostgresDecodable>(_ column: Int, as type: T.Type = T.self) throws -> T {
        if let value = withBytes(column, { T(postgresText: $0) }) { return value }
        throw PostgresError(.invalidValue, message: "column \(column) is no \(T.self)")
    }

    /// The column of that name as a value; names are compared as they are.
    ///
    /// - Throws: ``PostgresError`` of kind `invalidValue` as for a column by number, and when no column has the name.
    public func decode<T: PostgresDecodable>(_ name: String, as type: T.Type = T.self) throws -> T {
        guard let column = handle.column(name) else { throw PostgresError(.invalidValue, message: "no column \(name)") }
        return try decode(column, as: type)
    }
}
