"""The roots that the functions trust."""

import ssl
import time

from local import ROOT

# Enough time to replace a root and deploy the functions everywhere.
NOTICE = 180 * 24 * 60 * 60


def roots():
    """The roots, by common name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ROOT / "src/aws/amazon-roots.pem")
    return {dict(part for (part,) in root["subject"])["commonName"]: root for root in context.get_ca_certs()}


def test_all_of_amazons_roots_are_trusted():
    """https://www.amazontrust.com/repository/ lists these five."""
    starfield = "Starfield Services Root Certificate Authority - G2"
    assert set(roots()) == {*(f"Amazon Root CA {number}" for number in range(1, 5)), starfield}


def test_no_root_expires_soon():
    """Fails 180 days before the first root expires."""
    expiries = {name: ssl.cert_time_to_seconds(root["notAfter"]) for name, root in roots().items()}
    assert [name for name, expiry in expiries.items() if expiry < time.time() + NOTICE] == []
