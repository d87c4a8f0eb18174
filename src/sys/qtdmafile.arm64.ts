/** The C library as scripts/build makes it of ffi/; a file inside of the executable. */
import file from "../../dist/qtdma-arm64.so" with { type: "file" };

export default file;
