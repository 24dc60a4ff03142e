import Core
import Foundation
import NIOCore
import NIOPosix

/// What the operating system knows of the process, by the names that every exporter uses.
struct ProcessFigures: Sendable {
    private static let startedAt = Timestamp.now

    var openFiles: Int
    /// Files and sockets that may be open.
    var fileLimit: Int
    /// Bytes.
    var residentMemory: Int

    /// To be called at the start, which is what the start time then is.
    static func noteStart() { _ = startedAt }

    /// Read on a thread of its own, since listing thousands of files takes milliseconds.
    static func read(fileLimit: Int, on loop: any EventLoop) -> EventLoopFuture<ProcessFigures> {
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) {
            let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
            let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .ascii))?.split(separator: " ").dropFirst().first
            return ProcessFigures(
                openFiles: files, fileLimit: fileLimit,
                residentMemory: pages.flatMap { Int($0) }.map { $0 * sysconf(Int32(_SC_PAGESIZE)) } ?? 0)
        }
    }

    /// The text format of Prometheus.
    var rendered: String {
        """
        # TYPE process_start_time_seconds gauge
        process_start_time_seconds \(Double(Self.startedAt.milliseconds) / 1000)
        # TYPE process_open_fds gauge
        process_open_fds \(openFiles)
        # TYPE process_max_fds gauge
        process_max_fds \(fileLimit)
        # TYPE process_resident_memory_bytes gauge
        process_resident_memory_bytes \(residentMemory)

        """
    }
}
