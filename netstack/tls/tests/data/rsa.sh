#!/bin/sh
# Makes rsa.txt: signatures of "message", a line each: bits, padding, hash, the public key, the signature.
set -eu
dir=$(mktemp -d)
printf message >"$dir/message"
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
for bits in 2048 2049 2055 3072 4096; do
    openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:$bits" -out "$dir/key" 2>/dev/null
    openssl rsa -in "$dir/key" -RSAPublicKey_out -outform DER -out "$dir/public" 2>/dev/null
    for hash in sha256 sha384 sha512; do
        openssl dgst "-$hash" -sign "$dir/key" -out "$dir/signed" "$dir/message"
        echo "$bits pkcs1 $hash $(hex "$dir/public") $(hex "$dir/signed")"
        openssl dgst "-$hash" -sign "$dir/key" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest \
            -out "$dir/signed" "$dir/message"
        echo "$bits pss $hash $(hex "$dir/public") $(hex "$dir/signed")"
    done
done >rsa.txt
# What has to be refused: a key that is too short, an exponent of 3, and a salt of another length.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$dir/key" 2>/dev/null
openssl rsa -in "$dir/key" -RSAPublicKey_out -outform DER -out "$dir/public" 2>/dev/null
openssl dgst -sha256 -sign "$dir/key" -out "$dir/signed" "$dir/message"
echo "short pkcs1 sha256 $(hex "$dir/public") $(hex "$dir/signed")" >>rsa.txt
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3 -out "$dir/key" 2>/dev/null
openssl rsa -in "$dir/key" -RSAPublicKey_out -outform DER -out "$dir/public" 2>/dev/null
openssl dgst -sha256 -sign "$dir/key" -out "$dir/signed" "$dir/message"
echo "three pkcs1 sha256 $(hex "$dir/public") $(hex "$dir/signed")" >>rsa.txt
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$dir/key" 2>/dev/null
openssl rsa -in "$dir/key" -RSAPublicKey_out -outform DER -out "$dir/public" 2>/dev/null
openssl dgst -sha256 -sign "$dir/key" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20 -out "$dir/signed" "$dir/message"
echo "salt pss sha256 $(hex "$dir/public") $(hex "$dir/signed")" >>rsa.txt
rm -r "$dir"
