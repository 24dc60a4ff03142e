import CLibPQ
import Glibc

/// Waits for sockets to become readable or writable, and for a wake-up from another thread. Linux's epoll and eventfd.
///
/// Sendable because its two descriptors do not change, and the kernel takes calls on them from any thread.
final class Poller: Sendable {
    struct Event {
        var token: Int
        var isReadable: Bool
        var isWritable: Bool
    }

    private static let wakeUpToken = UInt64.max
    private let epoll: Int32
    private let wakeUpEvent: Int32

    init() {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeUpEvent = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard epoll >= 0, wakeUpEvent >= 0 else { fatalError("epoll: errno \(errno)") }
        // Edge-triggered, each write to it is one event and it need not be read.
        var event = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data(u64: Self.wakeUpToken))
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, wakeUpEvent, &event) == 0 else { fatalError("epoll_ctl: errno \(errno)") }
    }

    deinit {
        close(epoll)
        close(wakeUpEvent)
    }

    /// Ends the present or the next wait.
    func wakeUp() {
        var one: UInt64 = 1
        _ = write(wakeUpEvent, &one, 8)
    }

    func add(_ socket: Int32, token: Int) { control(EPOLL_CTL_ADD, socket, token, wantsWrite: false) }
    func change(_ socket: Int32, token: Int, wantsWrite: Bool) { control(EPOLL_CTL_MOD, socket, token, wantsWrite: wantsWrite) }
    func remove(_ socket: Int32) { _ = epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nil) }

    private func control(_ operation: Int32, _ socket: Int32, _ token: Int, wantsWrite: Bool) {
        let interest = EPOLLIN.rawValue | EPOLLRDHUP.rawValue | (wantsWrite ? EPOLLOUT.rawValue : 0)
        var event = epoll_event(events: interest, data: epoll_data(u64: UInt64(token)))
        guard epoll_ctl(epoll, operation, socket, &event) == 0 else { fatalError("epoll_ctl: errno \(errno)") }
    }

    /// Waits for at most the given milliseconds, for ever with -1.
    func wait(milliseconds: Int32, _ body: (Event) -> Void) {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
            // The buffer has room for 64 events, so its base address is there.
            let count = epoll_wait(epoll, events.baseAddress!, 64, milliseconds)
            guard count > 0 else { return }
            for event in events[..<Int(count)] where event.data.u64 != Self.wakeUpToken {
                body(
                    Event(
                        token: Int(event.data.u64), isReadable: event.events & ~EPOLLOUT.rawValue != 0,
                        isWritable: event.events & EPOLLOUT.rawValue != 0))
            }
        }
    }
}
