import Glibc

/// Runs the body on a thread of its own, which ends with it. For work that blocks, which the cooperative threads must not.
func startThread(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(ThreadBody(run: body))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let status = pthread_create(
        &thread, &attributes,
        { argument in
            // The argument is the box passed below.
            Unmanaged<ThreadBody>.fromOpaque(argument!).takeRetainedValue().run()
            return nil
        }, box.toOpaque())
    pthread_attr_destroy(&attributes)
    guard status == 0 else { fatalError("no thread could be started: \(status)") }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Holds up a thread of ``startThread(_:)``.
func pauseThread(_ duration: Duration) {
    var time = timespec(tv_sec: Int(duration.nanoseconds / 1_000_000_000), tv_nsec: Int(duration.nanoseconds % 1_000_000_000))
    // A signal may cut it short; whoever pauses looks again at what it waits for.
    nanosleep(&time, nil)
}

/// Nanoseconds of the monotonic clock, which no one sets.
func monotonicNow() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
