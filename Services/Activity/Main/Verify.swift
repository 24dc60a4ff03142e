import Activity
import ArgumentParser
import Foundation

/// Checks an exported audit trail without a server.
struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the hash chain of an audit export (NDJSON of GET /v1/audit/export), with no server.")

    @Argument(help: "The exported file.")
    var file: String

    func run() throws {
        guard let input = fopen(file, "r") else {
            throw ValidationError("cannot read \(file): \(String(cString: strerror(errno)))")
        }
        defer { fclose(input) }
        var verifier = EventChain.Verifier()
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while case let length = getline(&line, &capacity, input), length >= 0, let text = line {
            var bytes = text.withMemoryRebound(to: UInt8.self, capacity: length) { Array(UnsafeBufferPointer(start: $0, count: length)) }
            if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
            if !verifier.read(bytes) { break }
        }
        if let fault = verifier.report.fault {
            FileHandle.standardError.write(Data("the chain is broken: \(fault)\n".utf8))
            throw ExitCode(1)
        }
        print("the chain holds: \(verifier.report.entries) entries, last hash \(verifier.report.lastHash)")
    }
}
