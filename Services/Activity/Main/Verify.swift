import Activity
import ArgumentParser
import Foundation

/// Checks an exported audit trail without a server.
struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the hash chain of an audit export (NDJSON of GET /v1/audit/export), with no server.",
        discussion: "Exit status: 0 the chain holds, 1 it is broken, 2 it holds and says itself that events are missing.")

    @Argument(help: "The exported file.")
    var file: String

    @Option(
        help: ArgumentHelp(
            "Where an earlier check ended, as it was printed; for an export that begins after it.", valueName: "sequence:hash"),
        transform: Position.parse)
    var from: EventChain.Position = .start

    @Option(
        help: ArgumentHelp(
            "An entry that must be among them, as GET /v1/audit showed it last: nothing in a file tells that its end was taken off.",
            valueName: "sequence:hash"),
        transform: Position.parse)
    var holds: EventChain.Position?

    func validate() throws {
        if let holds, holds.sequence < from.sequence {
            throw ValidationError("The entry \(holds.sequence) of --holds lies before --from: it cannot be among those that follow.")
        }
    }

    func run() throws {
        guard let input = fopen(file, "r") else {
            throw ValidationError("cannot read \(file): \(String(cString: strerror(errno)))")
        }
        defer { fclose(input) }
        var verifier = EventChain.Verifier(after: from, upTo: holds)
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while case let length = getline(&line, &capacity, input), length >= 0, let text = line {
            var bytes = text.withMemoryRebound(to: UInt8.self, capacity: length) { Array(UnsafeBufferPointer(start: $0, count: length)) }
            if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
            if !verifier.read(bytes) { break }
        }
        let report = verifier.finish()
        if let fault = report.fault {
            FileHandle.standardError.write(Data("the chain is broken: \(fault)\n".utf8))
            throw ExitCode(1)
        }
        let erased = report.erased == 0 ? "" : ", \(report.erased) of them erased"
        print("the chain holds: \(report.entries) entries\(erased), up to \(report.last.sequence):\(report.last.hash)")
        for gap in report.gaps { print("entry \(gap.sequence) stands for a missing one: \(gap.text)") }
        if !report.gaps.isEmpty { throw ExitCode(2) }
    }

    private enum Position {
        static func parse(_ text: String) throws -> EventChain.Position {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let sequence = Int64(parts[0]), sequence >= 0, sequence == 0 || parts[1].utf8.count == 64 else {
                throw ValidationError("Give the sequence number and the hash, as in 30:c4a023…")
            }
            return EventChain.Position(sequence: sequence, hash: String(parts[1]))
        }
    }
}
