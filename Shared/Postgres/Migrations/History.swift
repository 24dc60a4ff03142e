/// What was applied to a schema, by set and in order.
struct History {
    private struct Entry {
        let version: Int
        let name: String
        let checksum: String
    }

    private var entries: [String: [Entry]] = [:]

    init(rows: PostgresResult) throws(PostgresError) {
        do {
            for row in rows {
                let entry = try Entry(version: row.decode(1), name: row.decode(2), checksum: row.decode(3))
                entries[try row.decode(0), default: []].append(entry)
            }
        } catch {
            throw error as? PostgresError ?? PostgresError(.invalidValue)
        }
    }

    static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }

    static func query(schema: String) -> SQL {
        "select set, version, name, checksum from \(unescaped: quoted(schema)).migration order by set, version"
    }

    /// The server has SHA-256, so this module needs no library for it.
    static func checksum(of migration: Migration) -> SQL {
        "select encode(sha256(convert_to(\(migration.sql), 'UTF8')), 'hex')"
    }

    static func record(_ migration: Migration, schema: String) -> SQL {
        """
        insert into \(unescaped: quoted(schema)).migration (set, version, name, checksum)
        values (\(migration.set), \(migration.version), \(migration.name),
            encode(sha256(convert_to(\(migration.sql), 'UTF8')), 'hex'))
        """
    }

    /// What is still to be applied.
    ///
    /// - Parameter allowsNewer: Migrations and sets beyond those known here are left alone, as a program finds them that is
    ///   started again after a newer one has migrated.
    /// - Throws: ``MigrationError`` `diverged` when what was applied is not the beginning of the sets.
    func missing(of sets: [MigrationSet], allowsNewer: Bool = false, checksum: (Migration) throws -> String) throws -> [Migration] {
        if !allowsNewer, let unknown = Set(entries.keys).subtracting(sets.map(\.name)).min() {
            throw MigrationError.diverged("it has migrations of the set \(unknown), which is not known here")
        }
        var missing: [Migration] = []
        for set in sets {
            let applied = entries[set.name] ?? []
            guard allowsNewer || applied.count <= set.migrations.count else {
                throw MigrationError.diverged(
                    "it has \(applied.count) migrations of the set \(set.name), \(set.migrations.count) are known here")
            }
            for (entry, migration) in zip(applied, set.migrations) {
                guard entry.version == migration.version, entry.name == migration.name else {
                    throw MigrationError.diverged("\(set.name) \(entry.version)_\(entry.name) stands where \(migration) must be")
                }
                guard try checksum(migration) == entry.checksum else {
                    throw MigrationError.diverged("\(migration) was changed after it had been applied")
                }
            }
            missing += set.migrations.dropFirst(applied.count)
        }
        return missing
    }
}
