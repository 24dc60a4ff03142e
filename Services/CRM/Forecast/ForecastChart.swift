import Core

/// A page of the forecast as a picture: for each currency and group a panel, with a bar and the sums of each period. Panels of one currency have
/// one scale.
///
/// It stands on a ground of its own in colours that are attributes, so that it is legible where no style is known; the style is for dark places only.
struct ForecastChart {
    static let mediaType = "image/svg+xml"
    /// Nothing but its own style: no script, nothing from elsewhere, no frame around it.
    private static let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

    private let query: ForecastQuery
    private let panels: [Panel]
    private let isCut: Bool

    /// - Parameters:
    ///   - lines: as the answer has them.
    ///   - isCut: whether there are more.
    init(_ lines: [JSON], of query: ForecastQuery, isCut: Bool) {
        self.query = query
        self.isCut = isCut
        let grouped = Dictionary(grouping: lines, by: Panel.Key.init)
        panels = grouped.map { Panel($0.key, $0.value) }.sorted { $0.key.order < $1.key.order }
    }

    var reply: Reply {
        let headers = [("content-type", "\(Self.mediaType); charset=utf-8"), ("content-security-policy", Self.policy)]
        return Reply(status: 200, headers: headers, body: Array(text.utf8))
    }

    // MARK: What is shown

    private struct Panel {
        struct Key: Hashable {
            let currency: String
            /// `nil` where nothing but currencies is told apart.
            let group: JSON?

            init(_ line: JSON) {
                currency = line["currency"]?.string ?? ""
                group = line["group"]
            }

            var name: String? { group.map { $0["name"]?.string ?? $0["id"]?.string ?? "none" } }
            var title: String { name.map { "\(currency) · \($0)" } ?? currency }
            var order: (String, String, String) { (currency, name ?? "", group?["id"]?.string ?? "") }
        }

        let key: Key
        let bars: [Bar]
        var longest: Double { bars.map(\.total).max() ?? 0 }

        init(_ key: Key, _ lines: [JSON]) {
            self.key = key
            bars = lines.map { Bar($0, in: key.currency) }
        }
    }

    /// The sums of a period. None is ever below zero.
    private struct Bar {
        static let columns = ["Won", "Committed", "Weighted", "Open"]

        let label: String
        /// All that there is to say, for who points at it or has it read out.
        let title: String
        /// For the columns.
        let figures: [String]
        let won: Double
        /// With what is won.
        let committed: Double
        /// What is won and what is open.
        let total: Double
        /// What is won, and what is open by its probability.
        let expected: Double

        init(_ line: JSON, in currency: String) {
            func digits(_ name: String) -> String { line["\(name)_minor"]?.description ?? "0" }
            func number(_ name: String) -> Double { Double(digits(name)) ?? 0 }
            (won, committed) = (number("won"), number("committed"))
            total = won + number("open")
            expected = won + number("weighted")
            figures = Self.columns.map { Currency.text(ofMinor: digits($0.lowercased()), in: currency) }
            let sums = zip(Self.columns, figures).map { "\($0.lowercased()) \($1)" }.joined(separator: ", ")
            let counts = ["open", "won"].map { "\($0) \(line["\($0)_count"]?.description ?? "0")" }.joined(separator: ", ")
            let (start, end) = (line["period"]?["start"]?.string, line["period"]?["end"]?.string)
            if let start, let end {
                label = start.prefix(7) == end.prefix(7) ? String(start.prefix(7)) : "\(start.prefix(7)) – \(end.prefix(7))"
            } else {
                label = "no date"
            }
            let period = start.flatMap { start in end.map { "\(start) to \($0)" } } ?? "No date"
            title = "\(period): \(sums) \(currency). Deals: \(counts)."
        }
    }

    // MARK: Where it stands, in pixels

    private static let margin = 24
    private static let barLength = 320
    private static let rowHeight = 24
    private static let gap = 16
    /// Of a digit at the size of the text, in a wide font.
    private static let digitWidth = 8
    /// Of a letter on average.
    private static let letterWidth = 7

    private var labelWidth: Int { Self.width(of: panels.flatMap(\.bars).map(\.label)) + Self.gap }
    private var columnWidths: [Int] {
        Bar.columns.indices.map { column in
            Self.width(of: [Bar.columns[column]] + panels.flatMap(\.bars).map { $0.figures[column] }) + Self.gap
        }
    }

    private static func width(of texts: [String]) -> Int { (texts.map(\.count).max() ?? 0) * digitWidth }

    /// As much of a panel's title as has room, be it in capital letters or in those of East Asia.
    private static func fitting(_ text: String, _ width: Int) -> String {
        var left = width
        for index in text.indices {
            left -= text[index].unicodeScalars.allSatisfy { $0.value < 0x1100 } ? 11 : 16
            if left < 0 { return text[..<index] + "…" }
        }
        return text
    }

    // MARK: The picture

    private var text: String {
        let bars = Self.margin + labelWidth
        let widths = columnWidths
        let width = max(bars + Self.barLength + widths.reduce(0, +) + Self.margin, 640)
        let top = 132
        let rows = panels.map { ($0.bars.count + 2) * Self.rowHeight }
        let height = top + (panels.isEmpty ? Self.rowHeight : rows.reduce(0, +)) + (isCut ? Self.rowHeight : 0) + Self.margin
        var svg = SVG()
        svg.element(
            "svg",
            [
                "xmlns": "http://www.w3.org/2000/svg", "width": width, "height": height, "viewBox": "0 0 \(width) \(height)",
                "xml:lang": "en", "role": "graphics-document", "aria-labelledby": "title", "aria-describedby": "description",
                "font-family": "system-ui, sans-serif", "font-size": 12,
            ]
        ) { svg in
            svg.element("title", ["id": "title"], "Forecast: \(heading)")
            svg.element("desc", ["id": "description"], description)
            svg.element("style", [:], Self.darkStyle)
            svg.element("rect", ["width": width, "height": height, "class": "ground", "fill": "#ffffff"])
            label(&svg, "Forecast", x: Self.margin, y: 40, size: 18, isBold: true)
            label(&svg, heading, x: Self.margin, y: 62, isFaint: true)
            legend(&svg)
            var y = top
            for (panel, height) in zip(panels, rows) {
                svg.element("g", ["role": "group"]) { svg in
                    svg.element("title", [:], panel.key.title)
                    draw(panel, on: &svg, from: y, bars: bars, columns: widths)
                }
                y += height
            }
            if panels.isEmpty {
                label(&svg, "No deal is expected to close in these periods, and none was won.", x: Self.margin, y: y)
                y += Self.rowHeight
            }
            if isCut { label(&svg, cut, x: Self.margin, y: y) }
        }
        return svg.text
    }

    private var heading: String {
        let unit = "\(query.period.rawValue)\(query.count == 1 ? "" : "s")"
        let group = query.group == .currency ? "" : ", by \(query.group.rawValue)"
        return "\(query.count) \(unit) from \(query.start)\(group), as of \(query.asOf ?? .now)"
    }

    private var description: String {
        """
        For each currency\(query.group == .currency ? "" : " and \(query.group.rawValue)") a bar for each \(query.period.rawValue): what was won, \
        what is committed beyond that, and what else is open; the mark is what was won and what is open by its probability. Days are those of UTC.
        """
    }

    private var cut: String {
        "There are more than these \(panels.reduce(0) { $0 + $1.bars.count }): ask for fewer periods, or with limit= for up to \(Paging.maximumLimit)."
    }

    private func label(
        _ svg: inout SVG, _ text: String, x: Int, y: Int, size: Int = 12, isBold: Bool = false, isFaint: Bool = false,
        endsThere: Bool = false
    ) {
        svg.element(
            "text",
            [
                "x": x, "y": y, "font-size": size, "font-weight": isBold ? "bold" : "normal", "text-anchor": endsThere ? "end" : "start",
                "class": isFaint ? "faint" : "ink", "fill": isFaint ? "#59636e" : "#1f2328",
            ], text)
    }

    private func legend(_ svg: inout SVG) {
        var x = Self.margin
        for (colour, name) in [(Colour.won, "Won"), (.committed, "Committed, not won yet"), (.open, "Open, not committed")] {
            fill(&svg, colour, x: Double(x), y: 81, width: 12, height: 12)
            label(&svg, name, x: x + 18, y: 91)
            x += 18 + name.count * Self.letterWidth + Self.gap
        }
        mark(&svg, x: Double(x + 5), y: 78)
        label(&svg, "Won and weighted", x: x + 18, y: 91)
    }

    private func draw(_ panel: Panel, on svg: inout SVG, from top: Int, bars x: Int, columns: [Int]) {
        label(&svg, Self.fitting(panel.key.title, x + Self.barLength - Self.margin), x: Self.margin, y: top, size: 14, isBold: true)
        var end = x + Self.barLength
        let ends = columns.map { column in
            end += column
            return end
        }
        for (name, end) in zip(Bar.columns, ends) { label(&svg, name, x: end, y: top, isFaint: true, endsThere: true) }
        let scale = scale(of: panel.key.currency)
        for (index, bar) in panel.bars.enumerated() {
            let y = top + (index + 1) * Self.rowHeight
            svg.element("g", ["role": "img"]) { svg in
                svg.element("title", [:], bar.title)
                label(&svg, bar.label, x: Self.margin, y: y)
                var start = 0.0
                for (colour, value) in [(Colour.won, bar.won), (.committed, bar.committed), (.open, bar.total)] where value > start {
                    fill(&svg, colour, x: Double(x) + start * scale, y: y - 11, width: (value - start) * scale, height: 14)
                    start = value
                }
                if bar.expected > 0 { mark(&svg, x: Double(x) + bar.expected * scale, y: y - 14) }
                for (figure, end) in zip(bar.figures, ends) { label(&svg, figure, x: end, y: y, endsThere: true) }
            }
        }
        let bottom = top + panel.bars.count * Self.rowHeight + 8
        svg.element("path", ["d": "M\(x) \(top + 8)V\(bottom)", "stroke": Self.outline, "fill": "none"])
    }

    /// Pixels for the smallest unit of a currency.
    private func scale(of currency: String) -> Double {
        let longest = panels.lazy.filter { $0.key.currency == currency }.map(\.longest).max() ?? 0
        return longest > 0 ? Double(Self.barLength) / longest : 0
    }

    private func fill(_ svg: inout SVG, _ colour: Colour, x: Double, y: Int, width: Double, height: Int) {
        svg.element(
            "rect",
            [
                "x": Self.rounded(x), "y": y, "width": Self.rounded(width), "height": height, "class": colour.rawValue,
                "fill": colour.light, "stroke": Self.outline,
            ])
    }

    private func mark(_ svg: inout SVG, x: Double, y: Int) {
        svg.element("rect", ["x": Self.rounded(x - 1), "y": y, "width": 2, "height": 20, "class": "ink", "fill": "#1f2328"])
    }

    /// To a tenth of a pixel.
    private static func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }

    // MARK: Colours

    /// It stands out from both grounds, and tells bars apart where colours do not.
    private static let outline = "#848d97"

    private enum Colour: String {
        case won, committed, open

        var light: String {
            switch self {
            case .won: "#116329"
            case .committed: "#218bff"
            case .open: "#d0d7de"
            }
        }
    }

    private static let darkStyle = """
        @media (prefers-color-scheme: dark) { .ground { fill: #0d1117 } .ink { fill: #f0f6fc } .faint { fill: #9198a1 } \
        .won { fill: #56d364 } .committed { fill: #1f6feb } .open { fill: #30363d } }
        """
}
