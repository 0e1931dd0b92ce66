"""Words that the training split's sentences are made of.

Verbs with `+` double their last letter; irregular forms follow after slashes (a verb: past, participle; a noun:
plural). An underscore stands for a space.
"""

from __future__ import annotations

WORDS = """
role: manager engineer technician director accountant supervisor operator inspector driver nurse teacher auditor
 analyst architect assistant attorney baker builder buyer carpenter cashier chairman/chairmen clerk client coach
 colleague consultant contractor coordinator councillor courier customer dealer dentist designer developer doctor
 editor electrician employee employer farmer gardener guard guest installer instructor insurer intern interpreter
 investor journalist judge lawyer lecturer librarian mechanic member merchant minister musician neighbour officer
 owner painter partner patient photographer planner plumber professor programmer publisher receptionist researcher
 resident scientist secretary senator shareholder surveyor tenant trainer translator treasurer trustee visitor vendor
 volunteer worker writer
doc: invoice report contract agreement form application estimate budget proposal quotation receipt certificate policy
 licence/licences schedule statement summary manual guideline letter memo notice order permit plan protocol
 questionnaire
 record register survey checklist ledger draft brochure catalogue timetable transcript warranty newsletter
 specification drawing blueprint voucher claim complaint diagram leaflet presentation spreadsheet map waiver tender
 handbook petition mandate
doc_verb: approve review sign reject amend archive circulate complete correct deliver discuss draft file forward issue
 print process publish receive request revise scan submit+ update verify withdraw/withdrew/withdrawn return collect
 prepare check translate accept acknowledge cancel examine finalize mail photocopy register renew present read/read/read
 send/sent/sent keep/kept/kept write/wrote/written
device: pump valve motor engine printer scanner router server camera sensor battery generator compressor turbine heater
 boiler fan filter conveyor crane elevator lift truck van tractor trailer bicycle keyboard monitor laptop tablet
 telephone radio antenna amplifier speaker microphone projector lamp thermostat thermometer barometer gauge meter switch
 relay transformer inverter charger cable adapter drill lathe saw hammer grinder welder robot drone telescope microscope
 freezer refrigerator oven dishwasher washing_machine vacuum_cleaner smoke_detector fire_extinguisher alarm lock gate
 turnstile kiosk terminal modem hard_drive memory_card power_supply circuit_board touchscreen gearbox furnace
device_verb: install replace repair test inspect calibrate clean maintain operate adjust connect configure
 reset/reset/reset
 restart upgrade order ship return unpack assemble dismantle lubricate measure monitor mount move program+ remove rent
 service store switch_off/switched_off/switched_off tighten transport weigh build/built/built buy/bought/bought
 sell/sold/sold
part: bearing bolt bracket gasket hinge hose knob lever nozzle panel pipe piston pulley screw seal shaft spring washer
 wheel axle belt blade button cap clamp connector coil cover display fuse gear handle housing lid lens magnet nut plug
 probe rod rotor socket spindle strap tube tray wire
material: steel aluminium copper brass rubber plastic glass timber plywood concrete cement gravel sand clay paper
 cardboard cotton wool leather linen nylon polyester silicone graphite zinc nickel titanium bronze iron paint varnish
 glue foam insulation marble granite slate brick asphalt ceramic
place: warehouse office factory workshop laboratory/laboratories hospital school library/libraries museum station
 airport
 harbour depot garage kitchen canteen classroom corridor basement courtyard stadium theatre hotel restaurant supermarket
 pharmacy clinic bank branch campus bridge tunnel motorway car_park playground swimming_pool town_hall
 headquarters/headquarters
 showroom archive greenhouse reservoir quarry shipyard refinery post_office reception loading_bay control_room
 conference_room waiting_room staircase rooftop shopping_centre data_centre
group: team department committee board council agency association company union ministry commission panel crew division
 institute club society/societies federation foundation cooperative delegation jury bureau consortium subsidiary staff
 partnership chamber network working_group task_force steering_committee
metric: revenue profit turnover output demand price cost rent salary wage temperature pressure voltage speed capacity
 attendance traffic membership inflation unemployment consumption productivity efficiency interest_rate exchange_rate
 market_share population rainfall humidity weight volume density frequency yield margin debt deficit surplus deposit
 export import stock_level error_rate response_time waiting_time energy_use
up: rise/rose/risen increase grow/grew/grown climb improve expand double recover jump soar
down: fall/fell/fallen decrease decline drop+ shrink/shrank/shrunk slip+ tumble halve dip+ weaken
process: delivery inspection installation maintenance repair audit meeting interview training negotiation production
 construction renovation recruitment registration election examination experiment investigation inquiry campaign
 conference exhibition festival workshop ceremony merger acquisition transition upgrade migration shipment launch
 evacuation excavation evaluation translation payment refund transfer booking reservation inventory recall test_run
 trial tour voyage harvest rehearsal
adj: annual available average basic brief broad careful central cheap clean clear common complete complex convenient
 correct current daily damaged dangerous digital direct dry early easy effective efficient empty essential exact
 excellent expensive external fair famous final flexible foreign formal former frequent fresh full general gentle global
 good hard heavy high historic huge human important independent individual industrial initial internal joint large late
 legal light local long low major manual medical mobile modern monthly municipal narrow national natural necessary new
 noisy normal old open optional ordinary original outdoor overall partial permanent personal plain portable popular
 practical precise preliminary previous private professional proper public quick quiet random rapid rare ready recent
 regional regular reliable rural safe scientific secondary secure senior separate serious severe sharp short significant
 similar simple single slow small smooth social solid special spare stable standard steady strict strong successful
 sudden suitable technical temporary thick thin tight total typical unusual urban urgent useful usual valid valuable
 visible warm weekly wet wide written wrong yearly young
adverb: quickly slowly carefully usually often rarely never always recently finally already automatically briefly
 clearly closely completely correctly directly easily entirely eventually exactly fully generally gradually immediately
 largely mainly manually normally officially partly permanently personally possibly previously probably promptly
 properly publicly quietly regularly safely separately sharply shortly silently slightly smoothly steadily
 successfully suddenly temporarily twice
abstract: access advice analysis/analyses approach argument aspect balance benefit change choice concept condition
 context cooperation damage danger decision delay detail difference difficulty discovery effect effort error evidence
 example experience explanation failure feature goal growth habit idea impact improvement influence information interest
 knowledge lack limit loss method mistake need objective opinion opportunity option pattern penalty/penalties
 performance permission possibility practice/practices principle problem procedure progress purpose quality question
 reason reduction requirement research responsibility result risk role rule safety scope security service situation
 skill solution source stage strategy strength success support target technique theory trend trust use value version
 view warning
abstract_verb: affect analyse avoid change compare confirm consider create define demonstrate describe determine
 discover emphasize ensure estimate explain explore follow help identify ignore improve include indicate influence
 introduce involve justify limit mention notice offer prevent promote propose protect question reduce reflect remove
 repeat represent require resolve reveal share show/showed/shown simplify solve support threaten
 understand/understood/understood
 welcome face
food: bread/bread butter/butter cheese rice/rice pasta/pasta soup salad chicken/chicken beef/beef lamb/lamb
 salmon/salmon potato tomato onion carrot cabbage garlic/garlic pepper apple pear orange lemon grape cherry/cherries
 melon sugar/sugar honey/honey flour/flour cream/cream yoghurt coffee/coffee tea/tea juice/juice vinegar/vinegar
 olive_oil/olive_oil mushroom spinach/spinach walnut biscuit pancake sandwich
nature: river mountain forest lake valley coast island desert beach hill meadow storm wind frost flood earthquake
 volcano glacier eagle owl swan wolf/wolves fox bear deer/deer horse sheep/sheep whale dolphin beetle butterfly spider
 oak pine birch rose tulip lavender moss cloud rainbow sunset comet planet
industry: energy transport education health finance insurance agriculture tourism fashion software mining shipping
 retail logistics aviation fishing banking engineering construction printing advertising publishing chemical textile
 automotive telecommunications pharmaceutical
unit: kilometres miles kilograms tonnes litres metres centimetres millimetres hours minutes seconds days weeks months
 degrees watts volts amperes pages copies seats boxes pallets containers pieces vehicles rooms passengers students
 households
"""
FIRST_NAMES = """
James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph Jessica
Thomas Sarah Charles Karen Christopher Lisa Daniel Nancy Matthew Betty Anthony Margaret Mark Sandra Donald Ashley Steven
Kimberly Paul Emily Andrew Donna Joshua Michelle Kenneth Carol Kevin Amanda Brian Melissa George Deborah Timothy
Stephanie Ronald Rebecca Edward Sharon Jason Laura Jeffrey Cynthia Ryan Kathleen Jacob Amy Gary Angela Nicholas Shirley
Eric Anna Jonathan Brenda Stephen Pamela Larry Emma Justin Nicole Scott Helen Brandon Samantha Benjamin Katherine Samuel
Christine Gregory Debra Alexander Rachel Frank Carolyn Patrick Janet Raymond Maria Jack Heather Dennis Diane Olivia
Noah Sofia Lucas Chloé Björn Søren José André Zoë Mei Hiroshi Priya Arjun Fatima Omar Ingrid Lars Aisha Kwame
"""
LAST_NAMES = """
Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez Wilson Anderson
Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Young
Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts
Gomez Phillips Evans Turner Diaz Parker Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutierrez
Ortiz Morgan Cooper Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward Richardson Watson Brooks Chavez Wood James
Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel Myers Long Ross Foster O'Connor O'Brien McDonald
Müller Schröder Lindström Nuñez Dubois Lefèvre Rossi Kowalski Novak Ivanov Tanaka Suzuki Chen Wang Singh Khan Okafor
"""
COMPANY_STEMS = """
Atlas Apex Aurora Beacon Blue Bridge Canyon Cardinal Castle Cedar Central Century Coastal Compass Continental Copper
Corner Crescent Crown Crystal Delta Eagle Eastern Element Emerald Empire Evergreen Falcon First Fortune Frontier Global
Golden Granite Green Harbor Heritage High Horizon Imperial Inter Island Jade Keystone Lake Liberty Lion Maple Meridian
Metro Midland Modern Mountain National New Noble North Northern Nova Oak Ocean Olympic Omega Orbit Pacific Pioneer
Phoenix Pine Premier Prime Quality Quantum Red River Rock Royal Sapphire Silver Sky Solar Southern Spring Standard Star
Sterling Summit Sun Superior Terra Titan Trans Tri Union United Universal Urban Valley Vector Victory Vista Western
"""
COMPANY_TRADES = """
Foods Motors Systems Textiles Logistics Electronics Trading Printing Furniture Bakery Pharmacy Insurance Plumbing
Hardware Instruments Publishing Chemicals Optics Packaging Travel Catering Garden_Centre Timber Brewery Books Cycles
Dental_Care Laboratories Software Networks Airlines Freight Rentals Security Cleaning_Services Consulting Architects
Solicitors Engineering Steel Ceramics Market Café Grill Coffee_House Supplies Stores Energy Water Media
"""
COMPANY_ENDINGS = (
    "Ltd Ltd. Inc. Inc LLC Co. plc Corp. GmbH Group & Sons & Co. Brothers Partners Limited Corporation Pty_Ltd"
)
CITIES = """
London Manchester Birmingham Leeds Glasgow Bristol Dublin Cork Boston Chicago Houston Phoenix Dallas Austin Denver
Seattle Portland Atlanta Miami Toronto Vancouver Montreal Sydney Melbourne Auckland Paris Lyon Berlin Hamburg Munich
Vienna Zürich Geneva Rome Milan Madrid Lisbon Amsterdam Brussels Copenhagen Stockholm Oslo Helsinki Warsaw Prague
Budapest Athens Istanbul Cairo Nairobi Lagos Delhi Mumbai Singapore Tokyo Osaka Seoul Shanghai Beijing Nashville Memphis
Columbus Cleveland Springfield Salem Oxford Cambridge York Newcastle
"""
COUNTRIES = """
France Germany Italy Spain Portugal Ireland Canada Australia Japan China India Brazil Mexico Argentina Sweden Norway
Poland Greece Turkey Egypt Kenya Nigeria Singapore Switzerland Austria Belgium Denmark Finland the_Netherlands
the_United_Kingdom the_United_States
"""
STREETS = """
High Church Main Park Station Mill Oak Maple Cedar Elm Washington Lake Hill Walnut Spring North Ridge Lincoln Chestnut
Green King Queen Victoria Albert Market Bridge School Garden River Union Forest Meadow Jefferson Franklin Madison Baker
College London Manor New Grove Prospect Broad Water Cherry Center Pleasant Sunset Highland Railroad
"""
STREET_ENDINGS = (
    "Street St. Road Rd Avenue Ave. Lane Drive Boulevard Blvd. Court Place Way Close Terrace Square Crescent"
)
REGIONS = "CA TX NY FL IL PA OH GA NC MI NJ VA WA AZ MA TN IN MO MD WI CO MN SC AL"
DISTRICTS = "LS M SW1 EC2 N BS CF EH G L SE NW1 B OX CB YO NE"
PRODUCT_ADJECTIVES = """
Organic Wireless Classic Premium Deluxe Compact Portable Heavy-Duty Stainless Digital Electric Large Small Medium Extra
Fresh Frozen Dried Roasted Smoked Low-Fat Sugar-Free Whole Natural Red Blue Green Black White Grey Brown Silver Double
Single Mini Ultra Super Soft Waterproof Adjustable Folding Rechargeable Cordless Universal Professional Standard
Recycled Cotton Leather Wooden Ceramic Glass Plastic Steel Fine Medium-Roast Vintage
"""
PRODUCTS = """
Headphones Notebook Ballpoint_Pen Desk_Lamp Office_Chair Backpack Water_Bottle Coffee_Beans Green_Tea Orange_Juice Milk
Butter Bread Eggs Bananas Apples Tomatoes Potatoes Chicken_Breast Minced_Beef Salmon_Fillet Cheddar_Cheese Yoghurt
Chocolate_Bar Biscuits Potato_Chips Olive_Oil Pasta Basmati_Rice Tomato_Soup Corn_Flakes Honey Jam Toothpaste Shampoo
Hand_Soap Toilet_Paper Kitchen_Towels Detergent Dish_Brush Light_Bulb Batteries Extension_Cable USB_Cable Mouse Keyboard
Monitor Printer_Paper Toner_Cartridge Stapler Envelope_Pack T-Shirt Jeans Sweater Socks Scarf Gloves Rain_Jacket Boots
Umbrella Towel Pillow Blanket Curtain Frying_Pan Saucepan Kettle Toaster Mug Plate_Set Screwdriver Hammer Cordless_Drill
Screws Paint_Roller Garden_Hose Flower_Pot Cappuccino Espresso Caesar_Salad Cheeseburger French_Fries Fish_&_Chips
Lemonade Sparkling_Water House_Wine Lager Margherita_Pizza Club_Sandwich Pancakes Brake_Pads Oil_Filter Wiper_Blades
"""
"""What is sold in shops, restaurants and garages."""
