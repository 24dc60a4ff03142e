import Core
import NIOCore

/// The settings that a running gateway follows, as one value: an exchange keeps the one that it began with.
final class GatewayPolicy: Sendable {
    let crossOrigin: CrossOrigin
    let tenantResolution: TenantResolution
    let trustedProxies: [AddressRange]
    /// Connections of one address at once.
    let addressConnections: Int
    let sendsTransportSecurity: Bool
    let compresses: Bool
    let bodyLimit: Int
    let requestTimeout: TimeAmount
    let headerTimeout: TimeAmount
    let bodyTimeout: TimeAmount
    let keepAlive: TimeAmount

    init(_ configuration: GatewayConfiguration) {
        crossOrigin = CrossOrigin(origins: configuration.corsOrigins)
        tenantResolution = TenantResolution(baseDomain: configuration.baseDomain)
        trustedProxies = configuration.trustedProxies
        addressConnections = configuration.addressConnections
        sendsTransportSecurity = configuration.sendsTransportSecurity
        compresses = configuration.compresses
        bodyLimit = configuration.bodyLimit
        requestTimeout = configuration.requestTimeout
        headerTimeout = configuration.headerTimeout
        bodyTimeout = configuration.bodyTimeout
        keepAlive = configuration.keepAlive
    }
}
