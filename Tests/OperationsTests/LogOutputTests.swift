import Core
import Foundation
import Logging
import Operations
import Testing

@Suite struct LogOutputTests {
    /// A pipe holds 64 KiB, so of a megabyte that nobody reads most must be dropped, and whoever logs must not wait. Then somebody reads.
    @Test func whoLogsNeverWaitsForWhoReads() async throws {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor, limit: 100_000)
        var logger = Logger(label: "test") { JSONLogHandler(service: "test", label: $0, output: output) }
        logger.logLevel = .info
        let text = String(repeating: "x", count: 100)
        for number in 0..<5000 { logger.info("a line", metadata: ["number": "\(number)", "text": "\(text)"]) }
        let dropped = output.droppedLines
        #expect(dropped > 0)
        #expect(!output.flush(within: .milliseconds(1)), "nobody has read")

        let reading = pipe.fileHandleForReading
        async let read: Data = withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: (try? reading.readToEnd()) ?? Data()) }
        }
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                #expect(output.flush(within: .seconds(30)))
                try? pipe.fileHandleForWriting.close()
                continuation.resume()
            }
        }
        let lines = try await read.split(separator: 0x0A).map { try JSONParser.parse(Array($0)) }
        let numbers = lines.compactMap { $0["number"]?.string.flatMap { Int($0) } }
        #expect(numbers.count == 5000 - dropped && numbers == numbers.sorted())
        let told = lines.filter { $0["number"] == nil }.compactMap { $0["count"]?.string.flatMap { Int($0) } }
        #expect(told.reduce(0, +) == dropped)
    }

    @Test func anOutputThatHasEndedCostsItsLinesOnly() throws {
        let full = try #require(FileHandle(forWritingAtPath: "/dev/full"))
        let output = LogOutput(descriptor: full.fileDescriptor)
        output.write(Array("a\nb\n".utf8), lines: 2)
        #expect(output.flush(within: .seconds(10)))
        #expect(output.droppedLines == 2)
    }
}
