"""Report pages: self-contained, escaped, without scripts."""

from html.parser import HTMLParser

from burnish.reports.charts import Chart, as_svg
from burnish.reports.figures import as_pdf, as_png, house_style, new_figure
from burnish.reports.page import Note, Numbers, Page, Picture, Section, Table, Text, render
from burnish.reports.validation import viewer_address, with_viewer_links


class Checker(HTMLParser):
    """Counts tags and notes what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "href") and v]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def some_page() -> str:
    with house_style():
        figure, (axes,) = new_figure(3, 2)
        axes.plot([0, 1], [1, 0])
    blocks = [
        Text("5 < 6 & <script>alert('x')</script>"),
        Note("too tight", "warning"),
        Numbers([("Resolution", "4.0 Å")]),
        Table(["shell", "name"], [["1", "<b>bold</b>"]], caption="a table", more=True),
        Table(["shell"], [["−2.5 Å"]]),
        Picture(as_png(figure), "FSC curves"),
        Picture(as_svg((Chart(),), 3, 2), "no curves"),
    ]
    return render(Page("Report of <me>", "It went well.", [Section("First", blocks), Section("", [])], footer="job 1"))


def test_page_is_well_formed_self_contained_and_escaped():
    html = some_page()
    checker = Checker()
    checker.feed(html)
    assert checker.open == [] and "script" not in checker.tags and "b" in checker.tags
    assert [v.partition(",")[0] for v in checker.loaded] == ["data:image/png;base64", "data:image/svg+xml;base64"]
    assert "&lt;script&gt;" in html and "&lt;b&gt;bold" in html and "Report of &lt;me&gt;" in html
    assert '<td class="n">−2.5 Å</td>' in html and "<details>" in html


def test_figures_become_png_and_one_pdf_and_leave_the_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with house_style():
        figures = [new_figure(3, 2)[0] for _ in range(3)]
    assert as_png(figures[0]).startswith(b"\x89PNG")
    pdf = as_pdf(figures, "log")
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page ") == 3
    assert dict(matplotlib.rcParams) == before


def test_residues_of_a_table_lead_to_the_viewer():
    rows = [["A 27 LEU", "1"], ["B1 103A SER OG", "2"], ["bond", "3"]]
    page = Page("x", "y", [Section("", [Table(["Residue", "n"], rows), Table(["Kind"], [["bond"]])])])
    linked = with_viewer_links(page, viewer_address("Validate/job003/"))
    first, second = linked.sections[0].blocks
    start = "/#/job/Validate/job003?residue="
    assert list(first.links) == [start + "A/27", start + "B1/103A", ""]
    assert second.links == () and page.sections[0].blocks[0].links == ()
    assert f'<a href="{start}A/27" target="_blank" rel="noopener">A 27 LEU</a>' in render(linked)
