"""Mails as the big editors write them, made anew each time: what stands around links, and how their values are written.

Each editor has its frame, its way of making a button (for Outlook in VML, for all others as a link), of showing a
picture, and of putting texts into columns; ten mails of each differ in what they lead to and in what is in them.
"""

# What editors write is in lines as long as theirs.
# ruff: noqa: E501

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

#: Where links lead: what makes trouble is among them.
TARGETS = (
    "https://www.exemple.fr/",
    "https://boutique.exemple.fr/soldes?ref=mail&taille=38&couleur=bleu%20nuit",
    "http://exemple.fr/é/à-côté?q=été#avis",
    "https://exemple.fr/produit?id=12&copy=3&reg=fr&para=1",
    "HTTPS://WWW.Exemple.FR/Chemin/%7Edossier/",
    'https://exemple.fr/a\'b(c)/[d]?e="f"',
    "https://exemple.fr/page?retour=https%3A%2F%2Fautre.fr%2F%3Fx%3D1",
    "https://exemple.fr/?utm_source=news&utm_medium=email#ancre",
    "https://exemple.fr:8443/x;y=1/../z?a=b+c",
    "https://xn--caf-dma.fr/menu?date=2026-01-31",
)
#: And what is no web address.
OTHERS = (
    "mailto:contact@exemple.fr?subject=Bonjour",
    "tel:+33123456789",
    "#haut",
    "{{ unsubscribe_url }}",
    "*|UPDATE_PROFILE|*",
)


@dataclass(frozen=True)
class Mail:
    """`html` is the source; `targets` where its web links lead, in order."""

    name: str
    html: str
    targets: Sequence[str]


class _Writing:
    """Of one mail: each link that is written is remembered."""

    def __init__(self, first: int, value: Callable[[str], str]) -> None:
        self._next = first
        self._value = value
        self.targets: list[str] = []

    def link(self) -> str:
        target = TARGETS[self._next % len(TARGETS)]
        self._next += 1
        return self.same(target)

    def same(self, target: str) -> str:
        self.targets.append(target)
        return self._value(target)


def _quoted(target: str) -> str:
    return f'"{escape(target)}"'


def _bare_ampersands(target: str) -> str:
    """As those write who do not escape."""
    return '"' + target.replace('"', "&quot;") + '"'


def _single(target: str) -> str:
    return "'" + escape(target, quote=False).replace("'", "&#39;") + "'"


def _in_lines(target: str) -> str:
    """Word breaks its lines anywhere, within a value too."""
    return f'"\n{escape(target)}"'


def _mjml(w: _Writing, rows: int) -> str:
    body = "".join(
        '<!--[if mso | IE]><table align="center" border="0" cellpadding="0" cellspacing="0" class="" role="presentation"'
        ' style="width:600px;" width="600" bgcolor="#ffffff" ><tr><td style="line-height:0px;font-size:0px;mso-line-height'
        '-rule:exactly;"><![endif]--><div style="margin:0px auto;max-width:600px;"><table align="center" role="presentation">'
        '<tbody><tr><td style="direction:ltr;font-size:0px;padding:20px 0;text-align:center;"><!--[if mso | IE]><table><tr>'
        '<td class="" style="vertical-align:top;width:300px;" ><![endif]--><div class="mj-column-per-50">'
        f'<table><tr><td align="center"><table><tbody><tr><td style="width:100px;"><a href={w.link()} target="_blank">'
        '<img height="auto" src="https://img.exemple.fr/a.png" width="100" alt=""></a></td></tr></tbody></table></td></tr>'
        '<tr><td align="center" bgcolor="#414141" role="presentation" style="border:none;border-radius:3px;">'
        f'<a href={w.link()} style="display:inline-block;background:#414141;" target="_blank"> J’en profite </a></td></tr>'
        "</table></div><!--[if mso | IE]></td></tr></table><![endif]--></td></tr></tbody></table></div>"
        "<!--[if mso | IE]></td></tr></table><![endif]-->"
        for _ in range(rows)
    )
    return (
        '<!doctype html><html xmlns="http://www.w3.org/1999/xhtml" xmlns:v="urn:schemas-microsoft-com:vml" '
        'xmlns:o="urn:schemas-microsoft-com:office:office"><head><title></title><!--[if !mso]><!-->'
        '<meta http-equiv="X-UA-Compatible" content="IE=edge"><!--<![endif]--><style type="text/css">#outlook a { '
        "padding:0; }\n@media only screen and (min-width:480px) { .mj-column-per-50 { width:50% !important; } }</style>"
        "<!--[if mso]><noscript><xml><o:OfficeDocumentSettings><o:AllowPNG/><o:PixelsPerInch>96</o:PixelsPerInch>"
        '</o:OfficeDocumentSettings></xml></noscript><![endif]--><!--[if lte mso 11]><style type="text/css">'
        ".mj-outlook-group-fix { width:100% !important; }</style><![endif]--></head>"
        f'<body style="word-spacing:normal;">{body}<p><a href="{OTHERS[3]}">Se désabonner</a></p></body></html>\n'
    )


def _vml_button(w: _Writing, target: str) -> str:
    return (
        '<!--[if mso]><v:roundrect xmlns:v="urn:schemas-microsoft-com:vml" xmlns:w="urn:schemas-microsoft-com:office:word"'
        f' href={w.same(target)} style="height:42px;width:151px;v-text-anchor:middle;" arcsize="10%" stroke="false" '
        'fillcolor="#3AAEE0"><w:anchorlock/><v:textbox inset="0,0,0,0"><center style="color:#ffffff;"><![endif]-->'
        f'<a href={w.same(target)} target="_blank" style="display:inline-block;"><span>Découvrir</span></a>'
        "<!--[if mso]></center></v:textbox></v:roundrect><![endif]-->"
    )


def _beefree(w: _Writing, rows: int) -> str:
    body = "".join(
        f'<table class="row row-{row}" width="100%"><tbody><tr><td><div align="center">'
        + _vml_button(w, TARGETS[row % len(TARGETS)])
        + f'</div><p style="margin:0;">Écrivez <a href="{OTHERS[0]}">nous</a> ou <a href={w.link()} target="_blank" '
        'rel="noopener">venez</a>.</p></td></tr></tbody></table>'
        for row in range(rows)
    )
    return (
        '<!DOCTYPE html>\n<html xmlns:v="urn:schemas-microsoft-com:vml" lang="fr"><head><title></title><meta '
        'content="text/html; charset=utf-8" http-equiv="Content-Type"/><!--[if mso]><xml><w:WordDocument><w:DontUseAdvanced'
        "TypographyReadingMail/></w:WordDocument></xml><![endif]--><!--[if !mso]><!--><!--<![endif]--><style>\n* {\n\t"
        "box-sizing: border-box;\n}\na[x-apple-data-detectors] {\n\tcolor: inherit !important;\n}\n</style></head>"
        f'<body class="body"><table class="nl-container"><tbody><tr><td>{body}</td></tr></tbody></table>'
        f'<a href="{OTHERS[3]}" target="_blank">unsubscribe</a><!-- End --></body></html>'
    )


def _stripo(w: _Writing, rows: int) -> str:
    body = "".join(
        '<table cellpadding="0" cellspacing="0" class="es-content" align="center"><tbody><tr><td align="center" '
        'style="padding:10px"><!--[if mso]><a href=' + w.link() + ' target="_blank" hidden>\n\t<v:roundrect '
        'xmlns:v="urn:schemas-microsoft-com:vml" esdevVmlButton href=' + w.link() + ' style="height:41px;" arcsize="50%" '
        'stroke="f"  fillcolor="#5c68e2">\n\t\t<w:anchorlock></w:anchorlock>\n\t\t<center style=\'color:#ffffff\'>Voir'
        '</center>\n\t</v:roundrect></a>\n<![endif]--><!--[if !mso]><!-- --><span class="es-button-border"><a href='
        + w.link() + ' class="es-button" target="_blank">Voir</a></span><!--<![endif]--></td></tr></tbody></table>'
        for _ in range(rows)
    )  # fmt: skip
    return (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional'
        '.dtd"><html><head><meta charset="UTF-8"><!--[if (mso 16)]><style type="text/css">     a {text-decoration: none;}     '
        "</style><![endif]--><!--[if gte mso 9]><style>sup { font-size: 100% !important; }</style><![endif]--></head>"
        f'<body><div class="es-wrapper-color"><!--[if gte mso 9]><v:background xmlns:v="urn:schemas-microsoft-com:vml" '
        f'fill="t"><v:fill type="tile" color="#fafafa"></v:fill></v:background><![endif]-->{body}'
        f'<a target="_blank" href="{OTHERS[1]}">+33 1 23 45 67 89</a> <a href="{OTHERS[3]}">quitter</a></div></body></html>'
    )


def _campaign_monitor(w: _Writing, rows: int) -> str:
    body = "".join(
        '<div class="layout one-col fixed-width stack"><div class="layout__inner"><!--[if (mso)|(IE)]><table align="center"'
        '><tr class="layout-fixed-width"><td style="width: 600px" class="w560"><![endif]--><div class="btn btn--flat">'
        f'<![if !mso]><a style="border-radius: 4px;" href={w.link()}>Lire</a><![endif]><!--[if mso]><p style="line-height:0;">'
        f'&nbsp;</p><v:roundrect xmlns:v="urn:schemas-microsoft-com:vml" href={w.link()} style="width:113px" arcsize="9%" '
        'fillcolor="#444444" stroke="f"><v:textbox style="mso-fit-shape-to-text:t"><center>Lire</center></v:textbox>'
        "</v:roundrect><![endif]--></div><!--[if (mso)|(IE)]></td></tr></table><![endif]--></div></div>"
        for _ in range(rows)
    )
    return (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
        '<!--[if IE]><html xmlns="http://www.w3.org/1999/xhtml" class="ie"><![endif]--><!--[if !IE]><!--><html '
        'style="margin: 0;padding: 0;" xmlns="http://www.w3.org/1999/xhtml"><!--<![endif]--><head>'
        "<style>@media only screen and (min-width: 620px){.wrapper{min-width:600px !important}}</style></head><body>"
        f'{body}<map name="m"><area shape="rect" coords="0,0,10,10" href={w.link()} alt=""></map>'
        f'<a href="{OTHERS[2]}">haut</a> <unsubscribe>quitter</unsubscribe></body></html>'
    )


def _word(w: _Writing, rows: int) -> str:
    body = "".join(
        "<p class=MsoNormal><span style='mso-fareast-language:FR'><a\nhref=" + w.link() + "><span style='color:#0563C1'>"
        "ici</span></a><o:p></o:p></span></p>\n<p class=MsoNormal><!--[if gte vml 1]><v:shapetype id=\"_x0000_t75\" coordsize"
        '="21600,21600"><v:stroke joinstyle="miter"/></v:shapetype><v:shape id="Image_x0020_1" type="#_x0000_t75"\n alt="" '
        "href=" + w.link() + " style='width:100pt;height:50pt' o:button=\"t\"><v:imagedata src=\"cid:image001.png@01DA.AA\"/>"
        "</v:shape><![endif]--><![if !vml]><a href=" + w.link() + "><img border=0 width=133 src=\"cid:image001.png@01DA.AA\" "
        "v:shapes=\"Image_x0020_1\"></a><![endif]></p>\n"
        for _ in range(rows)
    )  # fmt: skip
    return (
        '<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office" '
        'xmlns:w="urn:schemas-microsoft-com:office:word" xmlns="http://www.w3.org/TR/REC-html40"><head><META '
        'HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=utf-8"><!--[if !mso]><style>v\\:* {behavior:url(#default#VML);}'
        "</style><![endif]--><style><!--\n/* Font Definitions */\na:link, span.MsoHyperlink\n\t{mso-style-priority:99;}\n-->"
        '</style><!--[if gte mso 9]><xml>\n<o:shapedefaults v:ext="edit" spidmax="1026" />\n</xml><![endif]--></head>\n'
        f'<body lang=FR link="#0563C1" vlink="#954F72"><div class=WordSection1>{body}</div></body></html>\n'
    )


def _by_hand(w: _Writing, rows: int) -> str:
    body = "".join(
        f"<TR><TD><A TARGET=_blank HREF={w.link()}>Offre</A><br>\n<a\n   title='href=\"http://non.fr\"'\n   href={w.link()}\n"
        '>encore</a>\n<!-- <a href="http://non.fr">ancien</a> --><b><a href='
        + w.link()
        + ">gras<p>mal fermé</b></a></TD></TR>"
        for _ in range(rows)
    )
    return f'<center><table border=0>{body}</table><font size=1><a href="{OTHERS[0]}">écrire</a></font></center>'


def _mailchimp(w: _Writing, rows: int) -> str:
    body = "".join(
        '<table border="0" cellpadding="0" cellspacing="0" width="100%" class="mcnBoxedTextBlock" style="min-width:100%;">\n'
        '    <!--[if gte mso 9]>\n\t<table align="center" border="0" cellspacing="0" cellpadding="0" width="100%">\n\t<![endif]-->'
        '\n\t<tbody class="mcnBoxedTextBlockOuter"><tr><td valign="top" class="mcnBoxedTextBlockInner"><!--[if gte mso 9]><td '
        f'align="center" valign="top"><![endif]--><p>Avant tout, <a href={w.link()} target="_blank" title="">lisez</a> ou '
        f'<a class="utilityLink" href="{OTHERS[4]}">changez vos préférences</a>.</p><!--[if gte mso 9]></td></tr></table>'
        "<![endif]--></td></tr></tbody></table>\n"
        '<table class="mcnButtonContentContainer"><tbody><tr><td align="center" class="mcnButtonContent"><a class="mcnButton " '
        f'title="J&#39;y vais" href={w.link()} target="_blank" style="font-weight: bold;">J&#39;y vais</a></td></tr></tbody>'
        "</table>\n"
        for _ in range(rows)
    )
    return (
        '<!doctype html>\n<html xmlns="http://www.w3.org/1999/xhtml" xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:'
        'schemas-microsoft-com:office:office">\n<head>\n<!-- NAME: 1 COLUMN -->\n<!--[if gte mso 15]>\n<xml>\n<o:OfficeDocument'
        "Settings>\n<o:AllowPNG/>\n<o:PixelsPerInch>96</o:PixelsPerInch>\n</o:OfficeDocumentSettings>\n</xml>\n<![endif]-->\n"
        "<title>*|MC:SUBJECT|*</title>\n<style>p{margin:10px 0;}a[href^=tel]{color:inherit;}</style></head>\n<body>\n"
        '<!--*|IF:MC_PREVIEW_TEXT|*-->\n<!--[if !gte mso 9]><!----><span class="mcnPreviewText">*|MC_PREVIEW_TEXT|*</span>'
        f'<!--<![endif]-->\n<!--*|END:IF|*-->\n<a href="*|ARCHIVE|*" target="_blank">Voir en ligne</a>{body}<a href="*|UNSUB|*">'
        f"quitter</a> <a href={w.link()}>nous suivre</a></body>\n</html>\n"
    )


def _hybrid(w: _Writing, rows: int) -> str:
    """Backgrounds in VML with all of the text inside of them, and columns that are tables for Outlook alone."""
    body = "".join(
        '<tr><td background="https://img.exemple.fr/fond.jpg" bgcolor="#222222" valign="middle" style="background-size: cover '
        '!important;">\n<!--[if gte mso 9]>\n<v:rect xmlns:v="urn:schemas-microsoft-com:vml" fill="true" stroke="false" '
        f'href={w.link()} style="width:600px;height:175px;">\n<v:fill type="tile" src="https://img.exemple.fr/fond.jpg" '
        'color="#222222" />\n<v:textbox inset="0,0,0,0">\n<![endif]-->\n<div>\n<!--[if mso]>\n<table role="presentation" '
        'width="500"><tr><td valign="top" width="250">\n<![endif]-->\n<div style="display:inline-block;"><a href='
        + w.link()
        + '>gauche</a></div>\n<!--[if mso]>\n</td>\n<td valign="top" width="250">\n<a href='
        + w.link()
        + ' class=outlook>droite</a>\n<![endif]-->\n<!--[if !mso]><!-- -->\n<div style="display:inline-block;"><a href='
        + w.link()
        + ">droite</a></div>\n<!-- <![endif]-->\n<!--[if mso]>\n</td></tr></table>\n<![endif]-->\n</div>\n<!--[if gte mso 9]>\n"
        "</v:textbox>\n</v:rect>\n<![endif]-->\n</td></tr>\n"
        for _ in range(rows)
    )
    return (
        '<!DOCTYPE html>\n<html lang="fr" xmlns="http://www.w3.org/1999/xhtml" xmlns:v="urn:schemas-microsoft-com:vml"><head>'
        '<meta charset="utf-8">\n<!--[if mso]>\n<style>* { font-family: sans-serif !important; }</style>\n<![endif]-->\n'
        "<!--[if !mso]><!-->\n<!-- <link href='https://polices.exemple.fr/css' rel='stylesheet'> -->\n<!--<![endif]-->\n</head>\n"
        '<body width="100%"><center role="article"><!--[if mso | IE]><table role="presentation"><tr><td><![endif]-->\n<table>'
        f"{body}</table>\n<!--[if mso | IE]></td></tr></table><![endif]--></center></body></html>\n"
    )


def _utilities(w: _Writing, rows: int) -> str:
    """Made by a build that minifies, with blanks for Outlook inside of links, and comments within comments."""
    body = "".join(
        f'<div class="sm-px-4"><a href={w.link()} class="hover-bg-blue-600" style="display:inline-block;padding:16px 24px">'
        '<!--[if mso]><i style="mso-font-width:-100%;letter-spacing:32px;mso-text-raise:30px" hidden>&nbsp;</i><![endif]-->'
        '<span style="mso-text-raise:16px">Lire la suite &rarr;</span><!--[if mso]><i style="letter-spacing:32px;mso-font-width'
        f':-100%" hidden>&#8202;&#8203;</i><![endif]--></a><!--[IF MSO]><!--[if gte mso 12]><a\thref={w.link()}\t>pour Word</a>'
        f"<![endif]--><![ENDIF]--><![if !mso]><map name=m><area alt='' href={w.link()}></map><![endif]><p>Merci.</div>"
        for _ in range(rows)
    )
    return (
        '<!DOCTYPE html><html lang=fr xmlns:v="urn:schemas-microsoft-com:vml"><meta charset=utf-8><meta name=x-apple-disable-'
        'message-reformatting><!--[if mso]><noscript><xml><o:OfficeDocumentSettings xmlns:o="urn:schemas-microsoft-com:office:'
        'office"><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml></noscript><style>td,th,div,p,a{mso-line-'
        f"height-rule:exactly}}</style><![endif]--><body>{body}<a href={OTHERS[2]}>haut</a><a href={{{{unsubscribe_url}}}}>fin</a>"
    ).replace("{{unsubscribe_url}}", '"{{ unsubscribe_url }}"')


def _journey(w: _Writing, rows: int) -> str:
    """Of a suite for large senders, whose words stand where links lead, and whose blocks have elements of their own."""
    body = "".join(
        f'<TABLE WIDTH="100%" CELLSPACING=0 ROLE=presentation><TR><TD CLASS="stylingblock-content-wrapper"><A ALIAS="Bouton" '
        f'CONVERSION="false" DATA-LINKTO="https://" HREF={w.link()} TARGET="_blank"><IMG DATA-ASSETID=42 ALT="a > b" SRC='
        f'"https://img.exemple.fr/a.png"></A></TD></TR></TABLE><custom name="opencounter" type="tracking" />%%=v(@texte)=%%'
        f'<svg width="9" height="9"><a xlink:href={w.link()}><circle r="3"/></a></svg><!--[if mso]><v:shape href={w.link()}>'
        f'<v:textbox><a href={w.link()}>dedans</a></v:textbox></v:shape><v:line from="0,0" to="9,9"/><![endif]-->'
        for _ in range(rows)
    )
    return (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "http://www.w3.org/TR/html4/loose.dtd">\n<HTML><HEAD>'
        "<SCRIPT TYPE=text/ampscript>SET @a = '<a href=\"http://non.fr\">'</SCRIPT><BASE TARGET=_blank></HEAD><BODY>"
        f'<A HREF="%%view_email_url%%">En ligne</A>{body}<A HREF="%%unsub_center_url%%">Quitter</A><NOSCRIPT><A HREF={w.link()}>'
        "sans script</A></NOSCRIPT></BODY></HTML>"
    )


#: The editors, and how each writes the value of an href.
EDITORS: Sequence[tuple[str, Callable[[_Writing, int], str], Callable[[str], str]]] = (
    ("mjml", _mjml, _quoted),
    ("beefree", _beefree, _quoted),
    ("stripo", _stripo, _bare_ampersands),
    ("campaign monitor", _campaign_monitor, _quoted),
    ("outlook", _word, _in_lines),
    ("by hand", _by_hand, _single),
    ("mailchimp", _mailchimp, _bare_ampersands),
    ("hybrid", _hybrid, _quoted),
    ("utilities", _utilities, _single),
    ("journey", _journey, _in_lines),
)


def mails() -> Iterator[Mail]:
    """Ten of each editor."""
    for name, write, value in EDITORS:
        for number in range(10):
            writing = _Writing(number, value)
            html = write(writing, 1 + number % 4)
            yield Mail(f"{name} {number}", html, writing.targets)
