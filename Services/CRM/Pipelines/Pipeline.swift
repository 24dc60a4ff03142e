import Core
import Resources

/// A way that deals take, with its stages.
public enum Pipeline {
    public static let definition = ResourceDefinition(
        "pipelines", singular: "pipeline", permissions: .pipelines,
        rules: [
            "is_default_kept": "A tenant has one default pipeline: make another one the default instead.",
            "stages_known":
                "The id of a stage is one of this pipeline's, and stands there once; a new stage has none, and no move_deals_to.",
            "stages_kind_kept": "What kind a stage is never changes: make another one.",
            "stages_complete": "A pipeline has an open stage, a won one and a lost one.",
            "stages_probable": "An open stage has a probability; that of a won one is 100, and of a lost one 0.",
            "stages_in_use":
                "A stage that deals are in goes when move_deals_to says where they go, and its pipeline when they are elsewhere.",
            "stages_few_moved": "One request moves 1,000 deals at most: move some of them first.",
        ],
        fields: [
            Field("name", .text(max: 100), [.required, .sortable, .importable], example: "New business"),
            Field(
                "is_default", .boolean, [.filterable], default: .value(false),
                "Whether deals go there whose maker names no other; the former default is no longer it then."),
            Field(
                "stages", .list(stage, maxCount: 50), [],
                """
                In their order; left out or empty on create, the usual ones. A stage that is left out goes, unless deals are in it, a deleted deal \
                comes back to the first one of its kind.
                """,
                example: [
                    ["name": "Proposal", "probability": 50, "rot_after_days": 14], ["name": "Won", "kind": "won"],
                    ["name": "Lost", "kind": "lost"],
                ]),
        ])

    private static let stage = [
        Field("id", .reference(.row("stage")), [], "That of a stage that is there; none for a new one."),
        Field("name", .text(max: 100), [.required]),
        Field("position", .integer(1...50), [], "The stages are put in order by it if all have one, else by their places in the list."),
        Field(
            "kind", .enumeration(["open", "won", "lost"]), [], default: .value("open"), "What a deal is in it; it never changes."),
        Field("probability", .integer(0...100), [], "What a deal that comes into it has, in percent: of a won one 100, of a lost one 0."),
        Field("rot_after_days", .integer(1...3650), [], "After so many days a deal that is still in it needs somebody."),
        Field(
            "move_deals_to", .reference(.row("stage")), [],
            "Takes the stage away and moves its deals to that one, which may be another pipeline's; 1,000 at most. Never in an answer."),
    ]
}
