#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A list of migrations with the numbers 1, 2, 3, … and no gap.
public struct MigrationSet: Sendable, Hashable {
    public let name: String
    public let migrations: [Migration]

    /// - Throws: ``MigrationError`` `malformed` when the versions are not 1, 2, 3, … in order, one belongs to another set, or one that
    ///   runs outside of a transaction cannot be repeated.
    public init(name: String, migrations: [Migration]) throws(MigrationError) {
        for (index, migration) in migrations.enumerated() {
            guard migration.set == name else { throw .malformed("\(migration) is not of the set \(name)") }
            guard migration.version == index + 1 else { throw .malformed("\(migration) stands where version \(index + 1) must be") }
            guard !migration.isOutsideTransaction || migration.canBeRepeated else {
                throw .malformed(
                    "\(migration) runs outside of a transaction, so it must begin with one of: "
                        + Migration.repeatable.joined(separator: ", "))
            }
        }
        self.name = name
        self.migrations = migrations
    }

    /// Reads the files `0001_name.sql`, `0002_…` of a folder; files that do not end in `.sql` are left alone.
    ///
    /// - Throws: ``MigrationError`` `malformed` when the folder cannot be read, a file's name has another form, or a number is
    ///   missing or there twice.
    public static func load(_ set: String, from folder: String) throws(MigrationError) -> MigrationSet {
        let files: [String]
        do {
            files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".sql") }.sorted()
        } catch {
            throw .malformed("the folder of \(set) cannot be read")
        }
        var migrations: [Migration] = []
        for file in files {
            let stem = file.dropLast(4)
            guard stem.prefix(4).allSatisfy({ $0.isASCII && $0.isNumber }), let version = Int(stem.prefix(4)),
                stem.dropFirst(4).first == "_", stem.count > 5
            else { throw .malformed("\(file) is not named 0001_what_it_does.sql") }
            guard let data = FileManager.default.contents(atPath: "\(folder)/\(file)"), let sql = String(bytes: data, encoding: .utf8)
            else { throw .malformed("\(file) cannot be read as UTF-8") }
            migrations.append(Migration(set: set, version: version, name: String(stem.dropFirst(5)), sql: sql))
        }
        return try MigrationSet(name: set, migrations: migrations)
    }
}
