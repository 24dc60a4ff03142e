import Resources

/// A postal address, the same in every resource that has one.
public enum Address {
    public static let fields = [
        Field("street", .longText(max: 200), [], "May have several lines."),
        Field("city", .text(max: 100)),
        Field("region", .text(max: 100)),
        Field("postal_code", .text(max: 20)),
        Field("country", .text(max: 100)),
    ]
}
