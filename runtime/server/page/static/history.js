// The History screen works without scripts; this only leaves empty fields out of the address.

import "./elements.js";

document.querySelector("form.filter").addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});
