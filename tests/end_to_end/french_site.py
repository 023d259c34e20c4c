"""A small news site in French, of which one page answers the question."""

from tests.ingestion.site import page

QUESTION = "Que signifie le sigle NRO dans un réseau de fibre ?"
ANSWER = "nœud de raccordement optique"

ARTICLES = {
    "fibre/nro.html": (
        "Comprendre le réseau",
        "Le NRO, ou Nœud de Raccordement Optique, est le bâtiment d'où partent les fibres d'une ville. "
        "Chaque opérateur y installe ses équipements actifs ; de là, la lumière rejoint les abonnés.",
    ),
    "fibre/pm.html": (
        "Le point de mutualisation",
        "Le point de mutualisation est une armoire de rue. Les lignes de plusieurs immeubles s'y rejoignent, et chaque "
        "fournisseur d'accès y raccorde ses propres clients.",
    ),
    "fibre/prise.html": (
        "La prise dans le logement",
        "Le technicien pose une prise murale près du téléviseur. Le rendez-vous dure de deux à quatre heures, et "
        "le câble passe par les gaines existantes.",
    ),
    "fibre/evreux.html": (
        "Évreux bientôt couverte",
        "À Évreux, neuf foyers sur dix pourront s'abonner avant l'été. La mairie a suivi les travaux rue par rue.",
    ),
    "mobile/5g.html": (
        "La 5G gagne du terrain",
        "Trois cents antennes de plus émettent en 3,5 GHz ce mois-ci. Les villes moyennes en profitent d'abord.",
    ),
    "mobile/forfait.html": (
        "Un forfait à deux euros",
        "Le petit forfait coûte 2 € par mois : deux heures d'appels et des SMS illimités, sans engagement.",
    ),
    "mobile/roaming.html": (
        "Voyager sans frais",
        "Depuis l'étranger, vingt-cinq gigaoctets sont compris. Au-delà, chaque mégaoctet est facturé.",
    ),
    "tele/chaines.html": (
        "Douze chaînes offertes",
        "Jusqu'à dimanche, le bouquet cinéma est en clair. Les œuvres du patrimoine y tiennent une grande place.",
    ),
    "tele/panne.html": (
        "L'écran reste noir ?",
        "Débranchez le boîtier pendant une minute, puis rallumez-le. Si l'image manque encore, changez le cordon HDMI.",
    ),
    "box/wifi.html": (
        "Mieux placer sa box",
        "Posez-la en hauteur, loin du four et des murs épais. Un répéteur aide les grandes maisons.",
    ),
    "box/mot-de-passe.html": (
        "Changer le mot de passe du Wi-Fi",
        "Dans l'espace abonné, ouvrez les réglages du Wi-Fi, puis saisissez une clé d'au moins douze caractères.",
    ),
    "cuisine/boeuf.html": (
        "Le bœuf de la cantine",
        "Au siège, le chef sert un bœuf aux carottes le jeudi. Les salariés font la queue dès midi.",
    ),
}


def routes():
    """Path -> answer; every third page is in Windows-1252 and says so."""
    home = page("Actualités", "Toute l'actualité du numérique.", *(f"/{path}" for path in ARTICLES), lang="fr")
    found = {"/": home}
    for number, (path, (title, text)) in enumerate(ARTICLES.items()):
        html, name = page(title, text, "/", lang="fr"), ("utf-8", "utf-8", "windows-1252")[number % 3]
        found[f"/{path}"] = (200, {"Content-Type": f"text/html; charset={name}"}, html.encode(name))
    return found
