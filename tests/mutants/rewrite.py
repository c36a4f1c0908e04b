"""Rewrites a Rust source so that each of its mutants is in it, switched on by `crate::mutant(NUMBER)`.

What is mutated and how is cargo-mutants' word (`cargo mutants --list --json`); here it is only put into expressions that keep the original:

    a < b          (if crate::mutant(7) { (a) == (b) } else { (a < b) })
    fn f() { x }   fn f() { if crate::mutant(8) { return 0; } x }
    P => x         P if !crate::mutant(9) => x
"""

from dataclasses import dataclass

import tree_sitter_rust
from tree_sitter import Language, Node, Parser

PARSER = Parser(Language(tree_sitter_rust.language()))


@dataclass
class Mutant:
    number: int
    file: str
    function: str
    what: str  # as cargo-mutants says it, without the place
    genre: str
    replacement: str
    start: tuple[int, int]  # line and column, from 1, in characters
    end: tuple[int, int]


@dataclass
class Region:
    """A stretch of the rewritten source, in bytes."""

    start: int
    end: int
    numbers: list[int]
    # Whether it is the mutated text alone; otherwise what surrounds both.
    own: bool


class Rewriter:
    """One source. `texts` has the original code of each mutant that has a place, `unplaced` says why others have none."""

    def __init__(self, source: bytes, mutants: list[Mutant]):
        self.source = source
        self.places: dict[int, list[Mutant]] = {}
        self.texts: dict[int, str] = {}
        self.unplaced: dict[int, str] = {}
        self.tree = PARSER.parse(source)
        lines = source.split(b"\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)

        def offset(at: tuple[int, int]) -> int:
            return starts[at[0] - 1] + len(lines[at[0] - 1].decode()[: at[1] - 1].encode())

        for mutant in mutants:
            node = self.place(mutant, offset(mutant.start), offset(mutant.end))
            if isinstance(node, str):
                self.unplaced[mutant.number] = node
            else:
                self.places.setdefault(node.id, []).append(mutant)
                self.texts[mutant.number] = self.shown(node, mutant)

    def place(self, mutant: Mutant, start: int, end: int) -> Node | str:
        """The node that is written twice, or why there is none."""
        node = self.tree.root_node.descendant_for_byte_range(start, end)
        wanted = {
            "BinaryOperator": ("binary_expression", "compound_assignment_expr"),
            "UnaryOperator": ("unary_expression",),
            "FnValue": ("function_item",),
            "MatchArm": ("match_arm",),
            "MatchArmGuard": ("match_arm",),
            "StructField": ("struct_expression",),
        }[mutant.genre]
        found = None
        at = node
        while at is not None:
            if at.type in ("token_tree", "let_chain") and found is None:
                return "in a macro" if at.type == "token_tree" else "in a chain of lets"
            if at.type in wanted and found is None:
                found = at
            if found is not None and at.type in ("const_item", "static_item", "array_type", "const_block", "enum_variant"):
                return "a constant"
            if found is not None and at.type == "function_item":
                if any(b"const" in child.text.split() for child in at.children if child.type == "function_modifiers"):
                    return "a constant function"
                break
            at = at.parent
        if found is None:
            return f"no place for {mutant.genre}"
        if mutant.genre == "BinaryOperator" and found.child_by_field_name("operator").start_byte != start:
            return "no such operator"
        if mutant.genre == "UnaryOperator" and found.start_byte != start:
            return "no such operator"
        if mutant.genre == "StructField":
            fields = found.child_by_field_name("body").named_children
            field = next((field for field in fields if field.start_byte == start), None)
            if field is None or not any(field.type == "base_field_initializer" for field in fields):
                return "no such field"
        if mutant.genre in ("MatchArm", "MatchArmGuard"):
            condition = found.child_by_field_name("pattern").child_by_field_name("condition")
            if condition is not None and condition.type in ("let_chain", "let_condition"):
                return "in a chain of lets"
        return found

    def shown(self, node: Node, mutant: Mutant) -> str:
        if mutant.genre in ("BinaryOperator", "UnaryOperator"):
            text = " ".join(node.text.decode().split())
            return text if len(text) <= 70 else text[:34] + " .. " + text[-32:]
        return ""

    def rewritten(self, without: set[int]) -> tuple[bytes, list[Region]]:
        """The source with all its mutants but some, and where they are."""
        self.out = bytearray()
        self.regions: list[Region] = []
        self.without = without
        self.emit(self.tree.root_node)
        return bytes(self.out), self.regions

    def here(self, node: Node, *genres: str) -> list[Mutant]:
        placed = self.places.get(node.id, ())
        return [mutant for mutant in placed if mutant.genre in genres and mutant.number not in self.without]

    def say(self, text: str | bytes):
        self.out += text.encode() if isinstance(text, str) else text

    def own(self, mutant: Mutant, text: str | bytes):
        start = len(self.out)
        self.say(text)
        self.regions.append(Region(start, len(self.out), [mutant.number], own=True))

    def emit(self, node: Node):
        start = len(self.out)
        mutants = self.here(node, "BinaryOperator", "UnaryOperator", "StructField")
        if mutants:
            self.say("(")
            for mutant in mutants:
                self.say(f"if crate::mutant({mutant.number}) {{ ")
                self.own(mutant, self.variant(node, mutant))
                self.say(" } else ")
            self.say("{ (")
            self.children(node)
            self.say(") })")
        elif node.type == "match_arm":
            mutants = self.here(node, "MatchArm", "MatchArmGuard")
            self.arm(node, mutants)
        else:
            self.children(node)
        if node.type == "function_item":
            mutants = self.within(node)
        if mutants:
            self.regions.append(Region(start, len(self.out), [mutant.number for mutant in mutants], own=False))

    def within(self, function: Node) -> list[Mutant]:
        """All in a function, for errors that are nearer to none of them."""
        found, todo = [], [function]
        while todo:
            node = todo.pop()
            found += [mutant for mutant in self.places.get(node.id, ()) if mutant.number not in self.without]
            todo += node.children
        return found

    def children(self, node: Node):
        at = node.start_byte
        entry = node.parent is not None and node.parent.type == "function_item" and node.type == "block"
        for child in node.children:
            self.say(self.source[at : child.start_byte])
            self.emit(child)
            at = child.end_byte
            if entry and child.type == "{":
                for mutant in self.here(node.parent, "FnValue"):
                    start = len(self.out)
                    self.say(f" if crate::mutant({mutant.number}) {{ ")
                    self.own(mutant, f"return {mutant.replacement};")
                    self.say(" }")
                    self.regions.append(Region(start, len(self.out), [mutant.number], own=False))
        self.say(self.source[at : node.end_byte])

    def arm(self, node: Node, mutants: list[Mutant]):
        if not mutants:
            return self.children(node)
        pattern = node.child_by_field_name("pattern")
        condition = pattern.child_by_field_name("condition")
        self.say(self.source[node.start_byte : pattern.start_byte])
        self.say(self.source[pattern.start_byte : pattern.children[0].end_byte])
        for child in pattern.children[1:]:
            if child.type == "if" or child == condition:
                break
            self.say(b" " + child.text)
        self.say(" if ")
        self.say("".join(f"!crate::mutant({mutant.number}) && " for mutant in mutants if mutant.genre == "MatchArm"))
        self.say("(")
        guards = {mutant.replacement: mutant.number for mutant in mutants if mutant.genre == "MatchArmGuard"}
        if "true" in guards:
            self.say(f"crate::mutant({guards['true']}) || ")
        if "false" in guards:
            self.say(f"!crate::mutant({guards['false']}) && ")
        self.say("(")
        if condition is None:
            self.say("true")
        else:
            self.emit(condition)
        self.say(")) ")
        at = pattern.end_byte
        for child in node.children:
            if child.start_byte >= pattern.end_byte:
                self.say(self.source[at : child.start_byte])
                self.emit(child)
                at = child.end_byte
        self.say(self.source[at : node.end_byte])

    def variant(self, node: Node, mutant: Mutant) -> bytes:
        if mutant.genre == "UnaryOperator":
            return b"(" + self.source[node.children[0].end_byte : node.end_byte].strip() + b")"
        if mutant.genre == "StructField":
            body = node.child_by_field_name("body")
            start = body.start_byte - node.start_byte
            fields = [field for field in body.named_children if "comment" not in field.type]
            named = [
                field.text
                for field in fields
                if field.type in ("field_initializer", "shorthand_field_initializer") and not mutant_names(mutant, field)
            ]
            base = [field.text for field in fields if field.type == "base_field_initializer"]
            return node.text[:start] + b"{ " + b", ".join(named + base) + b" }"
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        return b"(" + left.text + b") " + mutant.replacement.encode() + b" (" + right.text + b")"


def mutant_names(mutant: Mutant, field: Node) -> bool:
    """Whether it is the field that the mutant leaves out."""
    name = field.text.decode().split(":")[0].strip()
    return mutant.what.startswith(f"delete field {name} ")
