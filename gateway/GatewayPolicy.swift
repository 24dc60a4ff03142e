/// The settings that may change, in force: made once for all event loops, and replaced as a whole. A request keeps the one that it began
/// with.
final class GatewayPolicy: Sendable {
    let settings: PolicySettings
    let crossOrigin: CrossOrigin
    let tenantResolution: TenantResolution
    /// For one event loop, as the next ones.
    let connectionLimit: Int
    let inFlightLimit: Int
    /// Bytes of the bodies of requests under way.
    let bodiesLimit: Int
    /// Bytes of answers that clients have not taken.
    let answersLimit: Int

    /// - Parameters:
    ///   - eventLoops: Among how many the limits are divided.
    ///   - connectionLimit: Clients at once, where that is fewer than the settings allow.
    init(_ settings: PolicySettings, eventLoops: Int, connectionLimit: Int = .max) {
        self.settings = settings
        crossOrigin = CrossOrigin(origins: settings.corsOrigins)
        tenantResolution = TenantResolution(baseDomain: settings.baseDomain)
        self.connectionLimit = max(1, min(settings.connectionLimit, connectionLimit) / eventLoops)
        inFlightLimit = max(1, settings.inFlightLimit / eventLoops)
        bodiesLimit = max(4 * settings.bodyLimit, settings.bodiesLimit / eventLoops)
        answersLimit = settings.answersLimit / eventLoops
    }
}
