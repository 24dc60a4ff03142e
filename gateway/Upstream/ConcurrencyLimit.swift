import NIOCore

/// How many requests one address may have to answer at a time: as many as it answers faster for having them, found by what it does.
///
/// Past the number that a service works on at once a further request makes it no faster, only each round trip longer. So the limit
/// grows while round trips stay near the least, and is cut when they grow with it, as in TCP Vegas, Netflix' Gradient2 and Envoy's
/// adaptive concurrency. Requests differ, though: a slow route that becomes popular also makes round trips longer, and is no reason
/// to hold anything back. What tells the two apart is the cut itself, which is a trial: where there was a queue in the service round
/// trips become shorter at once and as many requests are answered as before; where there was none they stay as they are, so the limit
/// is set back and they are the measure from then on. A wrong guess costs a part of one limit for two windows.
///
/// What is compared is the lower quartile of a window: slow requests do not move it, nor do the few that are answered without work.
struct ConcurrencyLimit {
    /// The least that is allowed, however long round trips are.
    static let floor = 4.0
    /// Round trips this much longer than the least are taken for a queue.
    private static let tolerance = 2.5
    /// A cut leaves this part of the limit.
    private static let cut = 0.7
    /// A cut to 0.7 of what was a queue brings round trips to 0.7; where only half of those who ask have cut, to 0.85.
    private static let shortened = 0.9
    /// A cut that changed nothing raises what is taken for the least by so much at most: others may just not have cut.
    private static let doubt = 1.5
    private static let windowLength = TimeAmount.milliseconds(100)
    private static let leastSamples = 20
    /// Of a window the latest are kept.
    private static let samplesKept = 128
    /// Seconds after which a busy address is measured anew.
    static let epoch = 10

    private struct Trial {
        /// Before the cut.
        var limit: Double
        var roundTrip: Double
        /// Requests sent before the cut are still being answered.
        var isSettling = true
        /// Whether the least round trip is looked for, so that cuts go on while they help.
        var seeksLeast: Bool
    }

    private let ceiling: Double
    private var limit: Double
    /// The round trip without a queue, in nanoseconds; 0 when nothing is known.
    private var least = 0.0
    private var trial: Trial?
    private var samples: [Int64] = []
    private var sampleCount = 0
    private var windowEnds = NIODeadline.uptimeNanoseconds(0)
    /// Whether a request found no place in this window. Only then do its round trips say anything of the limit.
    private var wasFull = false
    private var isSuspected = false
    private var measuredIn = 0

    /// - Parameter ceiling: The most, and what it starts with.
    init(ceiling: Int) {
        self.ceiling = Double(ceiling)
        limit = self.ceiling
        samples.reserveCapacity(Self.samplesKept)
    }

    var value: Int { Int(limit) }

    private var floor: Double { min(ceiling, Self.floor) }

    /// A request found no place.
    mutating func noteFull() { wasFull = true }

    /// Notes the time from a request to the head of its answer.
    ///
    /// - Returns: Whether a window is over, and ``adjust(now:second:)`` is due.
    mutating func answered(after roundTrip: TimeAmount, now: NIODeadline) -> Bool {
        if samples.count < Self.samplesKept {
            samples.append(roundTrip.nanoseconds)
        } else {
            samples[sampleCount % Self.samplesKept] = roundTrip.nanoseconds
        }
        sampleCount += 1
        return sampleCount >= Self.leastSamples && now >= windowEnds
    }

    /// Ends the window.
    ///
    /// - Parameter second: Of the clock on the wall, by which all gateways and their threads measure at the same time: a cut of one
    ///   alone shows little.
    mutating func adjust(now: NIODeadline, second: Int) {
        let roundTrip = lowerQuartile()
        let isFull = wasFull
        let isNewEpoch = second / Self.epoch != measuredIn
        samples.removeAll(keepingCapacity: true)
        sampleCount = 0
        wasFull = false
        windowEnds = Self.endOfWindow(at: now)
        if least == 0 { measuredIn = second / Self.epoch }
        guard isFull else {
            // Nobody waited, so there is hardly a queue; what is usual may have changed.
            trial = nil
            isSuspected = false
            least = least == 0 || roundTrip < least ? roundTrip : least + (roundTrip - least) / 8
            limit = min(ceiling, limit + limit.squareRoot())
            return
        }
        if least == 0 || roundTrip < least { least = roundTrip }
        if var trial {
            guard !trial.isSettling else {
                trial.isSettling = false
                self.trial = trial
                return
            }
            self.trial = nil
            if roundTrip > trial.roundTrip * Self.shortened {
                least = trial.seeksLeast ? roundTrip : min(roundTrip, least * Self.doubt)
                limit = trial.limit
            } else if trial.seeksLeast || roundTrip > least * Self.tolerance {
                startTrial(roundTrip, seeksLeast: trial.seeksLeast)
            }
        } else if isNewEpoch {
            measuredIn = second / Self.epoch
            startTrial(roundTrip, seeksLeast: true)
        } else if roundTrip > least * Self.tolerance {
            // Twice, so that what the cut is judged by is not from the time when the queue grew.
            if isSuspected { startTrial(roundTrip, seeksLeast: false) }
            isSuspected.toggle()
        } else {
            isSuspected = false
            limit = min(ceiling, limit + limit.squareRoot())
        }
    }

    private mutating func startTrial(_ roundTrip: Double, seeksLeast: Bool) {
        guard limit > floor else { return }
        trial = Trial(limit: limit, roundTrip: roundTrip, seeksLeast: seeksLeast)
        limit = max(floor, limit * Self.cut)
    }

    private static func endOfWindow(at now: NIODeadline) -> NIODeadline {
        let length = UInt64(windowLength.nanoseconds)
        return .uptimeNanoseconds((now.uptimeNanoseconds / length + 1) * length)
    }

    private mutating func lowerQuartile() -> Double {
        samples.sort()
        return Double(samples[samples.count / 4])
    }
}
