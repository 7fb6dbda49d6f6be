"""A GGUF file in several, as llama.cpp cuts them: pip install gguf==0.19.0; python split.py FILE.gguf OUT.gguf TENSORS"""
import sys

from gguf import GGUFReader, GGUFWriter

source, out, most = sys.argv[1:4]
reader = GGUFReader(source)
field = lambda name: reader.fields[name]
writer = GGUFWriter(out, field("general.architecture").contents(), split_max_tensors=int(most))
for name, f in reader.fields.items():
    if not name.startswith("GGUF.") and name != "general.architecture":
        writer.add_key_value(name, f.contents(), f.types[0], f.types[-1] if len(f.types) > 1 else None)
for t in reader.tensors:
    writer.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
