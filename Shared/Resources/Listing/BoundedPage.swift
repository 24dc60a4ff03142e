import Postgres

/// Ends a page after so many bytes, whatever number of rows was asked for: a service would not have the memory for a few pages of
/// the largest rows.
public enum BoundedPage {
    /// Bytes of the rows' text after which a page ends. The first row is there however large it is.
    public static let bytes = 1 << 20

    /// The statement for the page's rows, in their order. A last column `has_more` tells whether another row comes after each.
    ///
    /// - Parameters:
    ///   - columns: what to select from `rows`, of the rows that have room only.
    ///   - rows: a query for the rows of the page and one more, in their order.
    ///   - size: the bytes of a row of `page_row`; measured unless given.
    ///   - order: its order, in terms of the columns that it selects: `sequence desc`.
    ///   - limit: the rows of the page.
    public static func query(_ columns: String, from rows: SQL, size: String = "octet_length(page_row::text)", order: String, limit: Int)
        -> SQL
    {
        """
        select \(unescaped: columns), has_more from (
            select page_row.*, \(unescaped: size) as page_size, sum(\(unescaped: size)) over page_order as page_total,
                coalesce(lead(true) over page_order, false) as has_more
            from (\(rows)) as page_row window page_order as (order by \(unescaped: order) rows unbounded preceding)
        ) as page_sized
        where page_total - page_size < \(unescaped: String(bytes)) order by \(unescaped: order) limit \(unescaped: String(limit))
        """
    }
}
